import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { readProcessIdentity } from '../../src/adapters/process-identity.js';
import type { ProcessIdentity } from '../../src/adapters/process-identity.js';
import { attemptPaths, listAttempts } from '../../src/adapters/process-executor/attempt-directory.js';
import type { FaultRun, LedgerEntry } from './support/fault-run.js';
import { startFaultWorld } from './support/fault-world.js';
import type { FaultWorld } from './support/fault-world.js';
import { until } from './support/until.js';

/** How long a worker is stopped and MLflow is away: many times the heartbeat timeout of an attempt's activity. */
const A_MINUTE_MS = 60_000;

describe('a run on the real servers', () => {
  let world: FaultWorld;
  before(async () => {
    world = await startFaultWorld();
  });
  afterEach(async () => {
    await world.clear();
  });
  after(async () => {
    await world.close();
  });

  test('goes on in the same process when its worker is killed, and a successor adopts it', async () => {
    const worker = await world.startWorker();
    const run = await world.startRun();
    const trainer = await run.training();
    worker.kill('SIGKILL');
    assert.equal((await worker.exited()).signal, 'SIGKILL');
    assert.ok(await isAlive(trainer.pid), 'the training outlives its worker');

    await world.startWorker();
    await run.adopted();
    assert.ok(await isAlive(trainer.pid), 'the adopted process is the same');
    await run.finish();
    await assertWhole(run, { trainings: 1 });
  });

  test('resumes from its checkpoint on the infrastructure budget when worker, supervisor and training are killed', async () => {
    const worker = await world.startWorker();
    const run = await world.startRun();
    const trainer = await run.training();
    worker.kill('SIGKILL');
    const supervisor = await supervisorOf(world, 'train');
    for (const pid of [supervisor.pid, trainer.pid]) process.kill(pid, 'SIGKILL');
    await worker.exited();
    await untilGone([supervisor.pid, trainer.pid]);
    const stored = await run.storedUnits();

    await world.startWorker();
    // The step itself has one attempt and a delay of an hour: a second attempt now is not its own.
    const resumed = await run.training(2);
    assert.ok(resumed.units >= stored && stored > 0, `resumed at ${resumed.units}, stored were ${stored}`);
    await run.finish();
    const report = await assertWhole(run, { trainings: 2 });
    assert.equal(report.calls.find((call) => call.name === 'train')?.attempt, 2);
  });

  test('is neither ended nor repeated by a worker that was stopped while a successor adopted it', async () => {
    const stopped = await world.startWorker();
    const run = await world.startRun();
    const trainer = await run.training();
    stopped.kill('SIGSTOP');
    const stoppedAt = performance.now();
    assert.equal(await processState(stopped.pid), 'T');
    const successor = await world.startWorker();
    await run.adopted();
    await until(
      'the worker was stopped long enough',
      () => performance.now() - stoppedAt > A_MINUTE_MS,
      2 * A_MINUTE_MS,
    );
    stopped.kill('SIGCONT');

    // By the time the woken worker adopts what it once lost, it has heard from the server that it had lost it.
    successor.kill('SIGKILL');
    await successor.exited();
    await until('the woken worker adopts the training', async () =>
      (await run.pending()).some((one) => one.adopted && one.worker.startsWith(`${stopped.pid}@`)),
    );
    assert.ok(await isAlive(trainer.pid), 'the training is not ended by the worker that woke up');
    await run.finish();
    await assertWhole(run, { trainings: 1 });
  });

  test('that is cancelled while no worker is alive ends its process as soon as one is back', async () => {
    const worker = await world.startWorker();
    const run = await world.startRun();
    const trainer = await run.training();
    const supervisor = await supervisorOf(world, 'train');
    worker.kill('SIGKILL');
    await worker.exited();
    await world.requestCancel(run.runId);
    assert.ok(await isAlive(trainer.pid), 'nobody is there to end it yet');

    await world.startWorker();
    const report = await run.ended();
    assert.equal(report.state, 'cancelled');
    assert.equal(report.calls.find((call) => call.name === 'train')?.state, 'cancelled');
    assert.deepEqual([await isAlive(trainer.pid), await isAlive(supervisor.pid)], [false, false]);
    assert.deepEqual(await listAttempts(world.paths.attemptsDir), []);
    assert.equal((await run.starts('train')).length, 1);
    assert.equal(await world.countVersions(run.modelName), 0);
  });

  test('is executed once by two workers of the same pools, one of which dies', async () => {
    const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
    const runs = await Promise.all([world.startRun(), world.startRun(), world.startRun()]);
    const trainers = await Promise.all(runs.map(async (run) => await run.training()));
    assert.equal(new Set(trainers.map(({ pid }) => pid)).size, runs.length);
    const mine = await attemptsOf(runs, first.pid);
    first.kill('SIGKILL');
    await first.exited();
    await Promise.all(mine.map(async (run) => await run.adopted()));
    for (const run of runs) await run.finish();
    for (const run of runs) await assertWhole(run, { trainings: 1 });
  });

  test('goes on when the Temporal server is killed and started again on its file', async () => {
    await world.startWorker();
    const run = await world.startRun();
    const trainer = await run.training();
    await world.killServer('temporal');
    await assert.rejects(world.client.status(run.runId), 'the server is away');
    const before = await run.storedUnits();
    await until('the training goes on without the server', async () => (await run.storedUnits()) > before);

    const { temporal } = await world.startServers();
    assert.ok(temporal.started);
    assert.ok(await isAlive(trainer.pid));
    await run.finish();
    await assertWhole(run, { trainings: 1 });
  });

  test('registers one version when MLflow is killed while it trains, and again while it registers', async () => {
    await world.startWorker();
    const run = await world.startRun();
    await run.training();
    await world.killServer('mlflow');
    const awayAt = performance.now();
    await assert.rejects(world.countVersions(run.modelName), 'MLflow is away');
    await run.finish();
    await until('the training ends without MLflow', async () =>
      (await run.ledger()).some((entry) => entry.event === 'end' && entry.step === 'train'),
    );
    await until(
      'MLflow was away for a minute',
      () => performance.now() - awayAt > A_MINUTE_MS,
      2 * A_MINUTE_MS,
    );
    assert.ok((await world.startServers()).mlflow.started);

    await until('the run registers', async () => {
      const { calls } = await world.client.status(run.runId);
      return calls.some((call) => call.kind === 'model' && call.state === 'running');
    });
    await world.killServer('mlflow');
    await assert.rejects(world.countVersions(run.modelName), 'MLflow is away again');
    assert.ok((await world.startServers()).mlflow.started);
    await assertWhole(run, { trainings: 1 });
  });

  test('that "anneal start" left by Ctrl-C goes on, after its checkpoint, with the next start', async () => {
    await world.stopServers();
    const interrupted = world.runCli('start');
    const run = await until('a run is started', async () => {
      const [open] = await world.client.list({ pipeline: 'training', state: 'running' });
      return open && (await world.followDefaultRun(open.runId));
    });
    const trainer = await run.training();
    interrupted.kill('SIGINT');
    assert.equal((await interrupted.exited()).code, 130);
    assert.match(interrupted.output(), /is not finished/);
    assert.equal(await isAlive(trainer.pid), false);
    await assert.rejects(world.client.status(run.runId), 'the servers are stopped too');
    const stored = await run.storedUnits();

    const again = world.runCli('start', '--exit');
    const resumed = await run.training(2);
    assert.ok(resumed.units >= stored && stored > 0, `resumed at ${resumed.units}, stored were ${stored}`);
    await run.finish();
    assert.equal((await again.exited()).code, 0, again.output());
    assert.match(again.output(), new RegExp(`Following ${run.runId}`));
    await world.startServers();
    await assertWhole(run, { trainings: 2 });
  });

  /** Completed; every step that is not the training ran once; the training so often; one model version. */
  async function assertWhole(run: FaultRun, { trainings }: { readonly trainings: number }) {
    const report = await run.ended();
    assert.equal(report.state, 'completed', JSON.stringify(report.failure));
    const ledger = await run.ledger();
    const count = (event: LedgerEntry['event'], step: string) =>
      ledger.filter((entry) => entry.event === event && entry.step === step).length;
    for (const step of ['prepare', 'publish'])
      assert.deepEqual([count('start', step), count('end', step)], [1, 1]);
    assert.deepEqual([count('start', 'train'), count('end', 'train')], [trainings, 1]);
    assert.equal(await until('MLflow answers', async () => await world.countVersions(run.modelName)), 1);
    return report;
  }
});

async function isAlive(pid: number): Promise<boolean> {
  return (await readProcessIdentity(pid)) !== undefined;
}

async function untilGone(pids: readonly number[]): Promise<void> {
  await until(`processes ${pids.join(', ')} are gone`, async () => {
    const alive = await Promise.all(pids.map(isAlive));
    return !alive.includes(true);
  });
}

/** The supervisor of the only attempt of a step that runs. */
async function supervisorOf({ paths }: FaultWorld, step: string): Promise<ProcessIdentity> {
  const [name = ''] = (await listAttempts(paths.attemptsDir)).filter((one) => one.startsWith(`${step}-`));
  const file = attemptPaths(paths.attemptsDir, name).supervisor;
  return JSON.parse(await readFile(file, 'utf8')) as ProcessIdentity;
}

/** The runs whose training is watched by the worker with that process id. */
async function attemptsOf(runs: readonly FaultRun[], pid: number): Promise<FaultRun[]> {
  const watched = await Promise.all(
    runs.map(async (run) => {
      const [training] = await run.pending();
      return training?.worker.startsWith(`${pid}@`) === true;
    }),
  );
  return runs.filter((_, index) => watched[index]);
}

async function processState(pid: number): Promise<string> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]);
  return stdout.trim().charAt(0);
}
