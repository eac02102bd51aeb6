import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { attemptLogPath } from '../../src/adapters/process-executor/attempt-directory.js';
import { readJson } from '../../src/adapters/attempt-files/json-file.js';
import type { CommandRecord } from '../../src/adapters/process-executor/attempt-spec.js';
import { isSameProcess, readProcessIdentity } from '../../src/adapters/process-identity.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createAttemptWorld, eventually } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, output, recordWatch, sh, succeeded } from './contract.js';

describe('process executor: ends', { concurrency: 3 }, () => {
  const {
    createExecutor,
    pathsOf,
    readOutput,
    readSupervisor,
    readCommand,
    hasLogged,
    letGo,
    counted,
    root,
    attemptsDir,
    store,
  } = createAttemptWorld();

  test('ends what the command left behind', async () => {
    const launch = buildLaunch({
      command: sh('sleep 60 & echo $! > ', output('pid')),
      outputs: { pid: dataset },
    });
    const outcome = await createExecutor().run(launch, recordWatch().watch);
    assert.equal(await readProcessIdentity(Number(await readOutput(outcome, 'pid'))), undefined);
  });

  const STRAY =
    'const child = require("node:child_process").spawn("sleep", ["60"], { detached: true, stdio: "ignore" }); console.log(`stray ${child.pid}`);';
  const readStray = async (launch: AttemptLaunch) => {
    await hasLogged(launch, 'stray ');
    const log = await readFile(attemptLogPath(attemptsDir, launch.name), 'utf8');
    const stray = await readProcessIdentity(Number(/stray (\d+)/.exec(log)?.[1]));
    assert.ok(stray);
    return stray;
  };
  test('ends processes that left the group of a command that is stopped', async () => {
    const launch = buildLaunch({ command: [process.execPath, '-e', STRAY] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    const stray = await readStray(launch);
    recorded.cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    assert.equal(await isSameProcess(stray), false);
  });

  test('ends processes that left the group of a command whose supervisor was killed', async () => {
    const launch = buildLaunch({ command: [process.execPath, '-e', STRAY] });
    const running = createExecutor().run(launch, recordWatch().watch);
    const stray = await readStray(launch);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    failedWith(await running, 'AttemptLost');
    assert.equal(await isSameProcess(stray), false);
  });

  test('ends an attempt that no worker watches', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'] });
    const executor = createExecutor({ unclaimedMs: 600 });
    const recorded = recordWatch();
    const left = executor.run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const [supervisor, command] = [await readSupervisor(launch), await readCommand(launch)];
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    await eventually(
      'supervisor and command are gone',
      async () => !(await isSameProcess(supervisor)) && !(await isSameProcess(command)),
    );
    assert.match(
      failedWith(await executor.run(launch, recordWatch().watch), 'AttemptLost').message,
      /no worker had watched it for 600ms/,
    );
  });

  test('leaves an attempt alone that a worker watches', async () => {
    const launch = counted('claimed');
    const running = createExecutor({ unclaimedMs: 800 }).run(launch, recordWatch().watch);
    await hasLogged(launch, 'begun');
    const { startedAtMs } = (await readJson<CommandRecord>(pathsOf(launch).command)) ?? { startedAtMs: 0 };
    await eventually('three times the limit is over', () =>
      Promise.resolve(Date.now() - startedAtMs > 2_400),
    );
    await letGo(launch);
    succeeded(await running);
  });

  test('verifies that a cancelled attempt is gone, even one that ignores SIGTERM', async () => {
    const launch = buildLaunch({
      command: sh('trap "" TERM; echo begun; while :; do sleep 0.05; done'),
      stopGraceMs: 300,
    });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await hasLogged(launch, 'begun');
    const processes = [await readSupervisor(launch), await readCommand(launch)];
    recorded.cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    for (const one of processes) assert.equal(await isSameProcess(one), false);
    assert.ok((await store.stat(storeKeys.log('execution', launch.name)))?.sizeBytes);
  });

  test('ends an attempt whose supervisor gets SIGTERM', async () => {
    const asked = buildLaunch({ command: ['sleep', '60'] });
    const first = createExecutor().run(asked, recordWatch().watch);
    await eventually('the command runs', async () => (await readJson(pathsOf(asked).command)) !== undefined);
    process.kill((await readSupervisor(asked)).pid, 'SIGTERM');
    assert.match(failedWith(await first, 'AttemptKilled').message, /its supervisor was told to end/);
  });

  test('ends a name that was never launched, and one that was only prepared', async () => {
    await createExecutor().end('never', { graceMs: 0, executionId: 'execution' });
    const launch = buildLaunch({ command: ['sleep', '60'] });
    // A worker that dies between the preparation and the start of a supervisor leaves this.
    const stuck = createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') });
    const recorded = recordWatch();
    const running = stuck.run(launch, recorded.watch);
    await eventually(
      'the directory is there',
      async () => (await readJson(pathsOf(launch).spec)) !== undefined,
    );
    await createExecutor().end(launch.name, { graceMs: 0, executionId: 'execution' });
    const outcome = await running;
    assert.ok(outcome.kind === 'failed' && ['AttemptKilled', 'AttemptLost'].includes(outcome.code));
  });

  test('starts nothing under a name that was ended while its Python environment was made', async () => {
    const started = path.join(root, 'started-after-end');
    const launch = buildLaunch({ command: ['touch', started], python: { requirements: 'r.txt' } });
    const [asked, made] = [new AbortController(), new AbortController()];
    const ensurePython = async () => {
      asked.abort();
      await once(made.signal, 'abort');
      return { bin: '/usr/bin' };
    };
    const running = createExecutor({ ensurePython }).run(launch, recordWatch().watch);
    if (!asked.signal.aborted) await once(asked.signal, 'abort');
    await createExecutor().end(launch.name, { graceMs: 0, executionId: 'execution' });
    made.abort();
    assert.match(failedWith(await running, 'AttemptKilled').message, /stopped on request before it began/);
    await assert.rejects(readFile(started), { code: 'ENOENT' });
  });

  test('ends nobody else when the end of an attempt that nobody supervises is tried again', async () => {
    const launch = buildLaunch({});
    const watch = recordWatch();
    const stuck = createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') });
    const running = stuck.run(launch, watch.watch);
    await eventually(
      'the directory is there',
      async () => (await readJson(pathsOf(launch).spec)) !== undefined,
    );
    watch.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    const away = {
      ...store,
      putFile: () => Promise.reject(new Error('the store is away')),
      putBytes: () => Promise.reject(new Error('the store is away')),
    };
    const options = { graceMs: 0, executionId: 'execution' };
    await assert.rejects(createExecutor({ store: away }).end(launch.name, options), /the store is away/);
    assert.equal(await isSameProcess(await readSupervisor(launch)), false);
    await createExecutor().end(launch.name, options);
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'AttemptKilled');
  });
});
