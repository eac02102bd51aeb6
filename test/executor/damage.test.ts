import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { attemptPaths } from '../../src/adapters/process-executor/attempt-directory.js';
import { createProcessExecutor } from '../../src/adapters/process-executor/create-process-executor.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { bundleProgram } from './bundle-program.js';
import { buildLaunch, recordWatch, succeeded } from './contract.js';

describe('process executor: files that a power cut emptied', () => {
  let root: string;
  let attemptsDir: string;
  let storeDir: string;
  let supervisorPath: string;
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'anneal-damage-'));
    attemptsDir = path.join(root, 'attempts');
    storeDir = path.join(root, 'store');
    await mkdir(attemptsDir);
    supervisorPath = await bundleProgram('../../src/agent/supervisor.ts');
  });
  after(async () => {
    for (const folder of [root, path.dirname(supervisorPath)])
      await rm(folder, { recursive: true, force: true });
  });
  const createExecutor = () =>
    createProcessExecutor({
      store: createFileStore({ root: storeDir }),
      attemptsDir,
      buildsDir: path.join(root, 'builds'),
      supervisorPath,
      clock: { nowMs: () => Date.now() },
      ensurePython: () => Promise.reject(new Error('no Python in this test')),
      gpus: { leasesDir: path.join(root, 'gpus'), discover: () => Promise.resolve([]) },
      env: process.env,
    });
  const damage = async (name: string) => {
    const paths = attemptPaths(attemptsDir, name);
    await mkdir(paths.directory);
    await writeFile(paths.spec, '');
  };

  test('runs an attempt whose directory has an empty spec', async () => {
    const launch = buildLaunch({});
    await damage(launch.name);
    succeeded(await createExecutor().run(launch, recordWatch().watch));
  });

  test('ends one with an empty spec, and all on the machine', async () => {
    await damage('one');
    await damage('two');
    await createExecutor().end('one', { graceMs: 0, executionId: 'execution' });
    assert.deepEqual(await endLocalAttempts({ attemptsDir, storeDir }, { graceMs: 0 }), ['two']);
    assert.deepEqual(await readdir(attemptsDir), []);
  });
});
