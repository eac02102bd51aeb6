import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createProcessExecutor } from '../../src/adapters/process-executor/create-process-executor.js';
import { bundleProgram } from './bundle-program.js';
import { describeAttemptExecutor } from './contract.js';

describeAttemptExecutor('process', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-executor-'));
  const supervisorPath = await bundleProgram('../../src/agent/supervisor.ts');
  const attemptsDir = path.join(root, 'attempts');
  await mkdir(attemptsDir);
  const store = createFileStore({ root: path.join(root, 'store') });
  const executor = createProcessExecutor({
    store,
    attemptsDir,
    buildsDir: path.join(root, 'builds'),
    supervisorPath,
    clock: { nowMs: () => Date.now() },
    ensurePython: () => Promise.reject(new Error('no Python in this test')),
    gpus: { leasesDir: path.join(root, 'gpus'), discover: () => Promise.resolve([]) },
    env: process.env,
  });
  return {
    executor,
    store,
    stop: async () => {
      await rm(root, { recursive: true, force: true });
      await rm(path.dirname(supervisorPath), { recursive: true, force: true });
    },
  };
});
