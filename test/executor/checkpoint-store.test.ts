import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import {
  listCheckpoints,
  restoreCheckpoint,
  saveCheckpoint,
} from '../../src/adapters/attempt-files/checkpoint-store.js';
import { createCheckpointSync } from '../../src/adapters/attempt-files/checkpoint-sync.js';
import { AnnealError } from '../../src/core/failures.js';
import { buildRequest } from '../tracking/fixtures.js';

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
    since: 1,
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

test('an attempt that goes on after it was given up leaves the checkpoints of the next one alone', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'anneal-checkpoints-'));
  t.after(async () => await rm(dir, { recursive: true, force: true }));
  const store = createFileStore({ root: path.join(dir, 'store') });
  const place = { executionId: 'execution', callId: 'c'.repeat(32) };
  await mkdir(path.join(dir, 'work'));
  /** Of one attempt, as the agent beside its command makes it. */
  const train = async (name: string) => {
    const checkpoints = path.join(dir, 'work', name);
    await mkdir(checkpoints);
    const sync = createCheckpointSync({
      store,
      spec: { name, request: buildRequest(place), checkpointSettleMs: 0 },
      paths: { checkpoints, renamedCheckpoints: path.join(dir, 'work', `${name}.renamed`) },
      clock: { nowMs: () => Date.now() },
    });
    return async (step: number) => {
      await writeFile(path.join(checkpoints, `step-${step}`), `weights ${step}`);
      await sync.sync({ settled: true });
    };
  };
  const kept = async () =>
    (await listCheckpoints(store, place)).map(({ attempt, entry }) => `${attempt} ${entry}`);
  const first = await train('train-a1');
  for (const step of [1, 2, 3]) await first(step);
  assert.deepEqual(await kept(), ['train-a1 step-3', 'train-a1 step-2']);
  const second = await train('train-a2');
  await second(4);
  assert.deepEqual(await kept(), ['train-a2 step-4', 'train-a1 step-3']);
  for (const step of [4, 5, 6, 7]) await first(step);
  assert.deepEqual(await kept(), ['train-a1 step-7', 'train-a1 step-6', 'train-a2 step-4']);
  for (const step of [5, 6]) await second(step);
  assert.deepEqual(
    (await kept()).filter((one) => one.startsWith('train-a2')),
    ['train-a2 step-6', 'train-a2 step-5'],
  );
});
