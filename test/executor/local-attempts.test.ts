import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { attemptPaths } from '../../src/adapters/process-executor/attempt-directory.js';
import { createProcessExecutor } from '../../src/adapters/process-executor/create-process-executor.js';
import { attemptName } from '../../src/core/attempt.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { endOrphans } from '../../src/workers/end-orphans.js';
import { bundleProgram } from './bundle-program.js';
import { buildLaunch, recordWatch, succeeded } from './contract.js';

describe('attempts on this machine', () => {
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

  test('runs an attempt whose spec a power cut emptied', async () => {
    const launch = buildLaunch({});
    await damage(launch.name);
    succeeded(await createExecutor().run(launch, recordWatch().watch));
  });

  test('ends one with an empty spec, and all on the machine', async () => {
    await damage('one');
    await damage('two');
    await createExecutor().end('one', { graceMs: 0, executionId: 'execution' });
    assert.deepEqual(await endLocalAttempts({ attemptsDir, store: { root: storeDir } }, { graceMs: 0 }), [
      'two',
    ]);
    assert.deepEqual(await readdir(attemptsDir), []);
  });

  test('claims an attempt for as long as its execution is open, and ends it afterwards', async () => {
    const ids = { namespace: 'default', workflowId: 'run/1', epoch: 'epoch', step: 'step' };
    const launch = buildLaunch({ command: ['sleep', '60'] }, attemptName({ ...ids, index: 0, attempt: 1 }));
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    const { claimed } = attemptPaths(attemptsDir, launch.name);
    await utimes(claimed, 1, 1);
    const asked = (closeTime?: Date) => ({
      runId: 'run/1',
      paths: { attemptsDir, store: { root: storeDir } },
      client: {
        options: { namespace: 'default' },
        workflow: {
          getHandle: () => ({ describe: () => Promise.resolve({ runId: 'epoch', closeTime }) }),
        },
      },
    });
    assert.deepEqual(await endOrphans(asked()), []);
    assert.ok((await stat(claimed)).mtimeMs > 1_000_000);
    assert.deepEqual(await endOrphans(asked(new Date())), [launch.name]);
  });
});
