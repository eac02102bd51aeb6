import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import {
  attemptPaths,
  createAttemptDirectory,
  removeAttemptDirectory,
} from '../../src/adapters/process-executor/attempt-directory.js';
import { readJson, writeJson } from '../../src/adapters/attempt-files/json-file.js';

test('an attempt whose directory is removed is not made again by what is still written', async (t) => {
  const attemptsDir = await mkdtemp(path.join(tmpdir(), 'anneal-attempts-'));
  t.after(async () => await rm(attemptsDir, { recursive: true }));
  await createAttemptDirectory(attemptsDir, 'one', {});
  const { stop, supervisor } = attemptPaths(attemptsDir, 'one');
  assert.equal(await writeJson(stop, { graceMs: 1 }), 'stored');
  assert.equal(await writeJson(supervisor, { pid: 1 }, { ifAbsent: true }), 'stored');
  assert.equal(await writeJson(supervisor, { pid: 2 }, { ifAbsent: true }), 'exists');
  assert.deepEqual(await readJson(supervisor), { pid: 1 });
  await removeAttemptDirectory(attemptsDir, 'one');
  await assert.rejects(writeJson(stop, { graceMs: 1 }), { code: 'ENOENT' });
  await assert.rejects(writeJson(supervisor, {}, { ifAbsent: true }), { code: 'ENOENT' });
  assert.deepEqual(await readdir(attemptsDir), []);
});
