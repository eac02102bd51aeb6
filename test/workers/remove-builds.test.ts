import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { removeBuilds } from '../../src/workers/retention-parts.js';

describe('builds of a machine that anneal gc removes', () => {
  const inDirectory = async (
    names: readonly string[],
    work: (buildsDir: string) => Promise<void>,
  ): Promise<void> => {
    const buildsDir = await mkdtemp(path.join(tmpdir(), 'anneal-remove-builds-'));
    try {
      for (const name of names) await mkdir(path.join(buildsDir, name));
      await work(buildsDir);
    } finally {
      await rm(buildsDir, { recursive: true, force: true });
    }
  };
  const nobody = async () => await Promise.resolve(false);

  test('are not those that a run was started on while somebody was asked, or that became current', async () => {
    await inDirectory(['current-one', 'retried', 'old'], async (buildsDir) => {
      await writeFile(path.join(buildsDir, 'current'), 'current-one\n');
      const isNeeded = async (digest: string) => await Promise.resolve(digest === 'retried');
      const removed = await removeBuilds(buildsDir, ['current-one', 'retried', 'old'], isNeeded);
      assert.deepEqual(removed, ['old']);
      assert.deepEqual((await readdir(buildsDir)).toSorted(), ['current', 'current-one', 'retried']);
    });
  });

  test('come back where one that was killed had taken one away that is in use', async () => {
    await inDirectory(['.leaving-current-one', '.leaving-old'], async (buildsDir) => {
      await writeFile(path.join(buildsDir, 'current'), 'current-one\n');
      assert.deepEqual(await removeBuilds(buildsDir, [], nobody), []);
      assert.deepEqual((await readdir(buildsDir)).toSorted(), ['current', 'current-one']);
    });
  });
});
