import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { restoreCheckpoint, saveCheckpoint } from '../../src/adapters/attempt-files/checkpoint-store.js';
import { AnnealError } from '../../src/core/failures.js';

test('a store that does not answer is not taken for a damaged checkpoint', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'anneal-restore-'));
  t.after(async () => await rm(dir, { recursive: true, force: true }));
  const store = createFileStore({ root: path.join(dir, 'store') });
  const place = { executionId: 'execution', callId: 'c'.repeat(32) };
  const local = { directory: path.join(dir, 'checkpoints'), staging: path.join(dir, 'staging') };
  for (const folder of Object.values(local)) await mkdir(folder);
  const file = path.join(dir, 'step-1');
  await writeFile(file, 'weights');
  await saveCheckpoint(store, place, {
    attempt: 'train-a1',
    entry: 'step-1',
    sequence: 1,
    localPath: file,
    savedAtMs: 1,
    isUnchanged: () => Promise.resolve(true),
  });
  const fails = (code: 'StoreUnavailable' | 'InputMissing') => ({
    ...store,
    fetchFile: () => Promise.reject(new AnnealError(code, 'on purpose')),
  });

  await assert.rejects(restoreCheckpoint(fails('StoreUnavailable'), place, local), {
    code: 'StoreUnavailable',
  });
  assert.equal(await restoreCheckpoint(fails('InputMissing'), place, local), undefined);
  assert.equal((await restoreCheckpoint(store, place, local))?.entry, 'step-1');
});
