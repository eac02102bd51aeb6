import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { readJson, writeJson } from '../../src/adapters/attempt-files/json-file.js';
import type { AttemptSpec } from '../../src/adapters/process-executor/attempt-spec.js';
import { listCheckpoints } from '../../src/adapters/attempt-files/checkpoint-store.js';
import { toBytes } from '../../src/adapters/attempt-files/stored-outcome.js';
import { isSameProcess } from '../../src/adapters/process-identity.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createAttemptWorld, eventually } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, output, recordWatch, sh, succeeded } from './contract.js';

describe('process executor: checkpoints', { concurrency: 3 }, () => {
  const { createExecutor, pathsOf, readOutput, readSupervisor, readCommand, hasLogged, store } =
    createAttemptWorld();

  /** Starts a script that stores `s1` and says "begun"; then nobody watches it any more. */
  async function leaveAfterFirstCheckpoint(script: string) {
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await hasLogged(launch, 'begun');
    await eventually(
      's1 is stored',
      async () => (await listCheckpoints(store, launch.request))[0]?.entry === 's1',
    );
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    return launch;
  }

  test('ends the command of a killed supervisor, saves its checkpoint and says that the attempt was lost', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; trap "echo 2 > s.tmp; sleep 0.05; mv s.tmp s2; exit 1" TERM; echo 1 > s.tmp; mv s.tmp s1; echo half > loose; echo begun; while :; do sleep 0.05; done';
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    await hasLogged(launch, 'begun');
    await eventually(
      'the rename is noticed',
      async () => (await readJson<string[]>(pathsOf(launch).renamedCheckpoints))?.includes('s') === true,
    );
    const command = await readCommand(launch);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    const failed = failedWith(await running, 'AttemptLost');
    assert.match(failed.message, /its supervisor \(process \d+\) disappeared without an outcome/);
    assert.equal(failed.logTail[0], 'begun');
    assert.equal(await isSameProcess(command), false);
    const next = buildLaunch({
      callId: launch.request.callId,
      attempt: 2,
      command: sh('ls "$ANNEAL_CHECKPOINT_DIR" > ', output('found')),
      outputs: { found: dataset },
    });
    assert.equal(await readOutput(await createExecutor().run(next, recordWatch().watch), 'found'), 's2\n');
  });

  test('does not take a file for a checkpoint that a dead command left half-written', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > s.tmp; sleep 0.05; mv s.tmp s1; echo half > loose; echo begun; sleep 60';
    const launch = await leaveAfterFirstCheckpoint(script);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    process.kill(-(await readCommand(launch)).pid, 'SIGKILL');
    // As for a worker that comes back much later.
    const { spec } = pathsOf(launch);
    await writeJson(spec, { ...(await readJson<AttemptSpec>(spec)), checkpointSettleMs: 0 });
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'AttemptLost');
    assert.deepEqual(
      (await listCheckpoints(store, launch.request)).map(({ entry }) => entry),
      ['s1'],
    );
  });

  test('stores the checkpoint of a stop whose supervisor abandoned it, and counts a manifest first', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > s.tmp; sleep 0.05; mv s.tmp s1; echo begun; until [ -e ../stopped ]; do sleep 0.05; done; echo 2 > s.tmp; sleep 0.05; mv s.tmp s2; kill -9 $PPID; exit 0';
    const launch = await leaveAfterFirstCheckpoint(script);
    const paths = pathsOf(launch);
    const supervisor = await readSupervisor(launch);
    // What an abandoning supervisor leaves: a result, and a checkpoint that is not stored.
    await writeFile(path.join(paths.directory, 'stopped'), '');
    await eventually('the supervisor is gone', async () => !(await isSameProcess(supervisor)));
    const outcome = { kind: 'failed', attemptName: launch.name, code: 'AttemptKilled', message: 'stopped' };
    const times = { logTail: [], startedAtMs: 1, endedAtMs: 2 };
    await writeJson(paths.result, { outcome: { ...outcome, ...times }, stopped: 'request' });
    const manifest = { version: 1, attempt: launch.name, outputs: {}, parameters: { a: 1 }, ...times };
    await store.putBytes(storeKeys.manifest('execution', launch.name), toBytes(manifest));
    assert.deepEqual(succeeded(await createExecutor().run(launch, recordWatch().watch)).parameters, { a: 1 });
    assert.deepEqual(
      (await listCheckpoints(store, launch.request)).map(({ entry, sequence }) => [entry, sequence]),
      [
        ['s2', 2],
        ['s1', 1],
      ],
    );
  });

  test('stores checkpoints while the command runs: renamed ones at once, others when they have settled', async () => {
    const command = sh(
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > a.tmp; mv a.tmp a; until [ -e ',
      output('go'),
      ' ]; do sleep 0.05; done; mkdir b; echo 2 > b/x; echo begun; sleep 60',
    );
    const launch = buildLaunch({ command });
    const recorded = recordWatch();
    const running = createExecutor({ checkpointSettleMs: 700 }).run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const names = async () => (await listCheckpoints(store, launch.request)).map(({ entry }) => entry);
    await eventually('a is stored', async () => (await names()).join() === 'a');
    await writeFile(path.join(pathsOf(launch).outputs, 'go'), '');
    await hasLogged(launch, 'begun');
    await eventually('b is stored', async () => (await names()).join() === 'b,a');
    process.kill((await readCommand(launch)).pid, 'SIGKILL');
    failedWith(await running, 'AttemptKilled');
  });

  test('does not store what is older than a stored checkpoint after it, where it would count as the newest', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > loose; sleep 0.05; echo 2 > s.tmp; sleep 0.05; mv s.tmp s1; until [ -e ../go ]; do sleep 0.05; done; cp ../spec.json late; touch -d 2020-01-01 late; exit 1';
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const running = createExecutor().run(launch, recordWatch().watch);
    const entries = async () => (await listCheckpoints(store, launch.request)).map(({ entry }) => entry);
    await eventually('s1 is stored', async () => (await entries())[0] === 's1');
    await writeFile(path.join(pathsOf(launch).directory, 'go'), '');
    failedWith(await running, 'StepFailed');
    // What came later with an old time is new.
    assert.deepEqual(await entries(), ['late', 's1']);
  });

  test('takes checkpoints of one tick of the clock to be as old as their names say', async () => {
    const make =
      'const fs = require("node:fs"); for (let i = 1; i <= 10; i++) { fs.writeFileSync(`c${i}`, ""); fs.utimesSync(`c${i}`, 1, 1); } process.exit(1)';
    const launch = buildLaunch({
      command: sh(`cd "$ANNEAL_CHECKPOINT_DIR"; exec ${process.execPath} -e '${make}'`),
    });
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'StepFailed');
    const found = await listCheckpoints(store, launch.request);
    assert.deepEqual(
      found.map(({ entry }) => entry),
      ['c10', 'c9'],
    );
  });

  test('restores the checkpoint before a damaged one', async () => {
    const launch = buildLaunch({
      command: sh(
        'cd "$ANNEAL_CHECKPOINT_DIR"; for i in 1 2 3; do echo $i > c$i; touch -d "2020-01-0$i" c$i; done; exit 1',
      ),
    });
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'StepFailed');
    const found = await listCheckpoints(store, launch.request);
    assert.deepEqual(
      found.map(({ entry }) => entry),
      ['c3', 'c2'],
    );
    for await (const { key } of store.list(`${storeKeys.checkpoints('execution', launch.request.callId)}`))
      if (key.endsWith('-c3/files/data')) await store.putBytes(key, new TextEncoder().encode('X\n'));
    const next = buildLaunch({
      callId: launch.request.callId,
      attempt: 2,
      command: sh('cd "$ANNEAL_CHECKPOINT_DIR"; echo more >> c2; cat c2 > ', output('found')),
      outputs: { found: dataset },
    });
    assert.equal(
      await readOutput(await createExecutor().run(next, recordWatch().watch), 'found'),
      '2\nmore\n',
    );
    const [newest] = await listCheckpoints(store, launch.request);
    assert.equal(newest?.entry, 'c2');
    // Numbers go on after the damaged one's; how many there were before depends on when the first attempt was looked at.
    assert.ok(newest.sequence > (found[0]?.sequence ?? Infinity), `${newest.sequence}`);
  });
});
