import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import { toBytes } from '../../src/adapters/attempt-files/stored-outcome.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createAttemptWorld } from './attempt-world.js';
import { bundleProgram } from './bundle-program.js';
import { buildLaunch, failedWith, recordWatch, succeeded } from './contract.js';
import type { WorkerInput } from './fixtures/worker.js';

describe('process executor: supervision', { concurrency: 3 }, () => {
  const {
    createExecutor,
    readOutput,
    readSupervisor,
    hasLogged,
    letGo,
    counted,
    root,
    attemptsDir,
    store,
    supervisorPath,
  } = createAttemptWorld();
  let workerPath: string;
  before(async () => {
    workerPath = await bundleProgram('./fixtures/worker.ts');
  });
  after(async () => await rm(path.dirname(workerPath), { recursive: true, force: true }));

  test('adopts an attempt whose worker was killed together with its process group, and runs it once', async () => {
    const launch = counted('killed-worker');
    const input: WorkerInput = {
      storeRoot: path.join(root, 'store'),
      attemptsDir,
      supervisorPath: supervisorPath(),
      launch,
    };
    const worker = spawn(process.execPath, [workerPath, JSON.stringify(input)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: worker.stdout })) if (line === 'running') break;
    await hasLogged(launch, 'begun');
    process.kill(-(worker.pid ?? 0), 'SIGKILL');
    await once(worker, 'exit');
    const recorded = recordWatch();
    const adopted = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    assert.equal(recorded.progress.at(-1)?.adopted, true);
    await letGo(launch);
    assert.equal(await readOutput(await adopted, 'count'), 'once\n');
  });

  test('runs one name once when many workers ask at the same time', async () => {
    const launch = counted('race');
    const outcomes = Array.from({ length: 4 }, () => createExecutor().run(launch, recordWatch().watch));
    await hasLogged(launch, 'begun');
    await letGo(launch);
    for (const outcome of await Promise.all(outcomes))
      assert.equal(await readOutput(outcome, 'count'), 'once\n');
  });

  test('counts a manifest in the store before the death of the supervisor', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const manifest = {
      version: 1,
      attempt: launch.name,
      outputs: {},
      parameters: { a: 1 },
      startedAtMs: 1,
      endedAtMs: 2,
    };
    await store.putBytes(storeKeys.manifest('execution', launch.name), toBytes(manifest));
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    assert.deepEqual(succeeded(await running).parameters, { a: 1 });
  });

  test('says so when a supervisor cannot be started', async () => {
    const launch = buildLaunch({});
    const outcome = await createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') }).run(
      launch,
      recordWatch().watch,
    );
    assert.match(failedWith(outcome, 'AttemptLost').message, /its supervisor did not start in 3 tries/);
  });
});
