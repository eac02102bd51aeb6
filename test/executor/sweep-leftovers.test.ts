import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { saveCheckpoint } from '../../src/adapters/attempt-files/checkpoint-store.js';
import { sweepLeftovers } from '../../src/adapters/process-executor/sweep-leftovers.js';

describe('leftovers', () => {
  test('are removed when nothing has touched them for an hour', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-sweep-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    const [attemptsDir, storeDir] = [path.join(root, 'attempts'), path.join(root, 'store')];
    assert.deepEqual(await sweepLeftovers({ attemptsDir, storeDir }), []);
    await mkdir(path.join(attemptsDir, '.train.1.removed'), { recursive: true });
    await mkdir(path.join(attemptsDir, 'train'));
    await mkdir(path.join(storeDir, '.incoming'), { recursive: true });
    await writeFile(path.join(storeDir, '.incoming', '1-a'), 'half');
    assert.deepEqual(await sweepLeftovers({ attemptsDir, storeDir }), []);
    const nowMs = () => Date.now() + 2 * 60 * 60_000;
    assert.equal((await sweepLeftovers({ attemptsDir, storeDir, nowMs })).length, 2);
    assert.deepEqual(await readdir(attemptsDir), ['train']);
    assert.deepEqual(await readdir(path.join(storeDir, '.incoming')), []);
  });

  test('of a checkpoint that could not be stored whole do not stay in the store', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-partial-'));
    t.after(() => rm(root, { recursive: true, force: true }));
    const store = createFileStore({ root: path.join(root, 'store') });
    const localPath = path.join(root, 'c1');
    await mkdir(localPath);
    for (const name of ['a', 'b']) await writeFile(path.join(localPath, name), name);
    const stored: string[] = [];
    const full = {
      ...store,
      putFile: async (key: string, file: string) => {
        if (key.endsWith('/b')) throw new Error('no space left');
        stored.push(key);
        return await store.putFile(key, file);
      },
    };
    const saving = saveCheckpoint(
      full,
      { executionId: 'execution', callId: 'train' },
      {
        ...{ attempt: 'train-1', entry: 'c1', sequence: 1, since: 1, localPath, savedAtMs: 1 },
        isUnchanged: () => Promise.resolve(true),
      },
    );
    await assert.rejects(saving, /no space left/);
    assert.equal(stored.length, 1);
    for (const key of stored) assert.equal(await store.stat(key), undefined);
  });
});
