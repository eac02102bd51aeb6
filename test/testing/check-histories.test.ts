import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkHistories } from '../../src/testing/index.js';

const project = fileURLToPath(new URL('../..', import.meta.url));
const recorded = fileURLToPath(new URL('../histories/', import.meta.url));

describe("a user's recorded runs", () => {
  test('are replayed against the project as it is; a kind that its code would break is named', async () => {
    const histories = await mkdtemp(path.join(tmpdir(), 'anneal-histories-'));
    try {
      await assert.rejects(
        checkHistories({ histories, project }),
        /There is no history in .*anneal replay --save/,
      );
      for (const name of [
        'churn-training-passes.json',
        'churn-training-continues-as-new-1.json',
        'churn-sweep.json',
      ])
        await copyFile(path.join(recorded, name), path.join(histories, name));
      assert.equal(await checkHistories({ histories, project }), 3);

      const passes = await readFile(path.join(recorded, 'churn-training-passes.json'), 'utf8');
      await writeFile(
        path.join(histories, 'other.json'),
        passes.replaceAll('"executeAttempt"', '"ingestAll"'),
      );
      await assert.rejects(checkHistories({ histories, project }), (error: Error) => {
        assert.match(error.message, /another way than 1 of 4 recorded runs/);
        assert.match(error.message, /\n {2}other \(churn-training: .*; completed\): .*ingestAll/);
        return true;
      });

      await writeFile(path.join(histories, 'zzz.json'), '{}');
      await assert.rejects(checkHistories({ histories, project }), /zzz\.json is no history of a run/);
    } finally {
      await rm(histories, { recursive: true, force: true });
    }
  });
});
