import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import {
  attemptPaths,
  createAttemptDirectory,
} from '../../src/adapters/process-executor/attempt-directory.js';
import { findAttempt } from '../../src/adapters/process-executor/find-attempt.js';
import { storeFailure } from '../../src/adapters/attempt-files/stored-outcome.js';
import { buildFailed } from '../tracking/fixtures.js';

const PLACE = { executionId: 'exec-1', name: 'train-a1' };

describe('finding an attempt', () => {
  test('finds nothing, then what has a directory, which it claims, then what the store knows', async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-find-'));
    try {
      const attemptsDir = path.join(root, 'attempts');
      const store = createFileStore({ root: path.join(root, 'store') });
      const deps = { store, attemptsDir, clock: { nowMs: () => 9_000_000 } };
      assert.equal(await findAttempt(deps, PLACE), undefined);

      await createAttemptDirectory(attemptsDir, PLACE.name, {});
      const { claimed, directory } = attemptPaths(attemptsDir, PLACE.name);
      await utimes(claimed, 1, 1);
      assert.equal(await findAttempt(deps, PLACE), 'running');
      assert.equal((await stat(claimed)).mtimeMs, 9_000_000);

      await storeFailure(store, PLACE, buildFailed());
      await rm(directory, { recursive: true });
      assert.deepEqual(await findAttempt(deps, PLACE), buildFailed());
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
