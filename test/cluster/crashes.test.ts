import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, afterEach, before, describe, test } from 'node:test';

import type { RunReport } from '../../src/client/index.js';
import { until } from '../system/support/until.js';
import type { CliProcess } from '../system/support/worker-process.js';
import { startAudit, type AuditedRequest } from './support/audit-log.js';
import { clusterMissing } from './support/cluster.js';
import { startClusterWorld, type ClusterRun, type ClusterWorld } from './support/cluster-world.js';
import { startFaultProxy, type FaultProxy, type ProxiedRequest } from './support/fault-proxy.js';

const servers = ['ANNEAL_TEST_TEMPORAL', 'ANNEAL_TEST_MLFLOW', 'ANNEAL_TEST_S3'];
const missing = servers.filter((name) => process.env[name] === undefined);
const skip = clusterMissing || (missing.length > 0 && `${missing.join(' and ')} not set`);

describe('a run on Kubernetes', { skip, concurrency: false }, () => {
  let world: ClusterWorld;
  let proxy: FaultProxy;

  before(async () => {
    world = await startClusterWorld();
    proxy = await startFaultProxy(world.namespace);
  });
  afterEach(async () => {
    proxy.fault = undefined;
    await world.clear();
  });
  after(async () => {
    await proxy.close();
    await world.close();
  });

  /** A worker that is killed at the first request that fits, whatever becomes of that; answers when it is dead. */
  const killedAt = async (
    worker: CliProcess,
    fits: (request: ProxiedRequest) => boolean,
    lost: 'lose-request' | 'lose-answer',
  ): Promise<void> => {
    let died = false;
    proxy.fault = async (request) => {
      if (died) return { kind: 'lose-request' };
      if (!fits(request)) return undefined;
      died = true;
      // The server gets what is to be got only when nobody is left to hear the answer.
      worker.kill('SIGKILL');
      await worker.exited();
      return { kind: lost };
    };
    await until('the worker is killed', () => died && worker.hasExited());
    await delay(500);
    proxy.fault = undefined;
  };
  const launches = ({ method, path }: ProxiedRequest) => method === 'POST' && path.endsWith('/jobs');

  test('has one Job for each attempt when its worker is killed just before a Job is created', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const worker = await world.startWorker(proxy.kubeconfig);
    const run = await world.startRun();
    await killedAt(worker, launches, 'lose-request');
    assert.deepEqual(await world.jobs(), []);
    await world.startWorker();
    await run.training();
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
  });

  test('has one Job for each attempt when its worker is killed after a Job was created and before it heard so', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const worker = await world.startWorker(proxy.kubeconfig);
    const run = await world.startRun();
    await killedAt(worker, launches, 'lose-answer');
    const [job] = await until('the Job is there', async () => {
      const jobs = await world.jobs();
      return jobs.length > 0 && jobs;
    });
    await world.startWorker();
    await run.training();
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
    const kept = (await world.jobs()).find(({ metadata }) => metadata?.name === job?.metadata?.name);
    assert.equal(kept?.metadata?.uid, job?.metadata?.uid, 'the Job was adopted');
  });

  test('goes on in the same pod when its worker is killed while it watches', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const worker = await world.startWorker();
    const run = await world.startRun();
    await run.training();
    worker.kill('SIGKILL');
    await worker.exited();
    await world.startWorker();
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
  });

  test('ends without a worker, and is taken up with what its pod stored', async () => {
    const worker = await world.startWorker();
    const run = await world.startRun();
    await run.training();
    worker.kill('SIGKILL');
    await worker.exited();
    run.finish();
    await until('the training has ended', () =>
      run.told().some(({ event, step }) => event === 'end' && step === 'train'),
    );
    await until('its pod has ended', async () =>
      (await world.pods()).every(({ status }) => status?.phase === 'Succeeded'),
    );
    const audited = await startAudit(world.namespace.cluster);
    await world.startWorker();
    await assertWhole(run, { audited: [], trainings: 1 });
    assert.deepEqual(creations(await audited(world.namespace.user)), []);
  });

  test('is done once when its worker is killed after a Job succeeded and before that was reported', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const worker = await world.startWorker(proxy.kubeconfig);
    const run = await world.startRun();
    await run.training();
    const dead = killedAt(worker, ({ method }) => method === 'PATCH', 'lose-request');
    run.finish();
    await dead;
    await world.startWorker();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
  });

  test('is neither ended nor repeated by a worker that was stopped while a successor adopted it', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const stopped = await world.startWorker();
    const run = await world.startRun();
    await run.training();
    stopped.kill('SIGSTOP');
    await world.startWorker();
    await until('a successor watches the training', async () => {
      const { calls } = await world.client.status(run.runId);
      return calls.some(({ name, state }) => name === 'train' && state === 'running');
    });
    await delay(15_000);
    stopped.kill('SIGCONT');
    await delay(3_000);
    assert.equal((await world.pods()).filter(({ status }) => status?.phase === 'Running').length, 1);
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
  });

  test('goes on from its checkpoint in another Job when somebody deletes its pod', async () => {
    await world.startWorker();
    const run = await world.startRun();
    const first = await run.training();
    const pod = (await world.pods()).find(({ status }) => status?.phase === 'Running');
    const name = pod?.metadata?.name ?? '';
    await world.namespace.cluster.kubectl([
      '-n',
      world.namespace.name,
      'delete',
      'pod',
      name,
      '--wait=false',
    ]);
    const second = await run.training(2);
    assert.ok(second.units > first.units, `it went on from ${second.units} units`);
    run.finish();
    await assertWhole(run, { audited: [], trainings: 2 });
  });

  test('outlives watches that are cut, expire, are refused and hang', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const faults = [
      { kind: 'cut', afterMs: 300 },
      { kind: 'answer', status: 410, body: status(410, 'Expired') },
      { kind: 'answer', status: 429, headers: { 'retry-after': '1' }, body: status(429, 'TooManyRequests') },
      { kind: 'answer', status: 500, body: status(500, 'InternalError') },
      { kind: 'lose-request' },
      { kind: 'cut', afterMs: 50 },
    ] as const;
    let met = 0;
    proxy.fault = ({ isWatch }) => (isWatch ? faults[met++] : undefined);
    await world.startWorker(proxy.kubeconfig);
    const run = await world.startRun();
    await until('all faults have happened', () => met >= faults.length);
    await run.training();
    proxy.cutAll();
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
  });

  test('waits where the API server asks for patience, and creates each Job once', async () => {
    const audited = await startAudit(world.namespace.cluster);
    const refused: ProxiedRequest[] = [];
    proxy.fault = (request) => {
      if (!launches(request) || refused.length >= 3) return undefined;
      refused.push(request);
      if (refused.length === 2) return { kind: 'lose-answer' };
      return {
        kind: 'answer',
        status: 429,
        headers: { 'retry-after': '1' },
        body: status(429, 'TooManyRequests'),
      };
    };
    await world.startWorker(proxy.kubeconfig);
    const run = await world.startRun();
    await run.training();
    run.finish();
    await assertWhole(run, { audited: await audited(world.namespace.user), trainings: 1 });
    assert.equal(refused.length, 3);
  });

  test('outlives two minutes without an API server, in which its Job ends', async () => {
    const { cluster } = world.namespace;
    await world.startWorker();
    const run = await world.startRun();
    await run.training();
    await cluster.stop('apiserver');
    run.finish();
    await until('the training has ended', () =>
      run.told().some(({ event, step }) => event === 'end' && step === 'train'),
    );
    await delay(120_000);
    await cluster.start('apiserver');
    await assertWhole(run, { audited: [], trainings: 1 });
  });

  for (const part of ['kubelet', 'containerd'] as const) {
    test(`goes on in the same pod when its node's ${part} is killed`, async () => {
      await world.startWorker();
      const run = await world.startRun();
      await run.training();
      await world.namespace.cluster.restart(part);
      await delay(3_000);
      run.finish();
      await assertWhole(run, { audited: [], trainings: 1 });
    });
  }

  test('leaves nothing when it is cancelled, pod and Job', async () => {
    await world.startWorker();
    const run = await world.startRun();
    await run.training();
    await world.client.cancel(run.runId);
    assert.equal((await run.ended()).state, 'cancelled');
    const running = (await world.pods()).filter(({ status }) => status?.phase === 'Running');
    assert.deepEqual(running, []);
    assert.ok(!(await world.jobs()).some(({ metadata }) => metadata?.name?.startsWith('train-')));
  });

  test('costs two write requests a step and no polls', async () => {
    await world.startWorker();
    // The first run finds watches that have just begun.
    await (await world.startRun('single')).ended();
    const audited = await startAudit(world.namespace.cluster);
    const runs = await Promise.all([1, 2, 3, 4, 5].map(() => world.startRun('single')));
    for (const run of runs) {
      const { state, failure } = await run.ended();
      assert.equal(state, 'completed', JSON.stringify(failure));
    }
    const requests = await until('the last Job is settled', async () => {
      const all = await audited(world.namespace.user);
      return all.filter(({ verb }) => verb === 'patch').length >= 5 && all;
    });
    const counts: { [what: string]: number } = {};
    for (const { verb, resource } of requests)
      counts[`${verb} ${resource}`] = (counts[`${verb} ${resource}`] ?? 0) + 1;
    // A pod that does not start for 10 s is asked about once, which a busy machine can make happen: no poll.
    const { 'list events': asked = 0, ...others } = counts;
    assert.ok(asked <= 10, `${asked} lists of events`);
    assert.deepEqual(others, { 'create jobs': 5, 'patch jobs': 5 });
  });

  async function assertWhole(
    run: ClusterRun,
    { audited, trainings }: { readonly audited: readonly AuditedRequest[]; readonly trainings: number },
  ): Promise<RunReport> {
    const report = await run.ended();
    assert.equal(report.state, 'completed', JSON.stringify(report.failure));
    const told = run.told().filter(({ step, event }) => step === 'train' && event === 'start');
    assert.equal(told.length, trainings, JSON.stringify(run.told()));
    assert.equal(run.told().filter(({ step, event }) => step === 'prepare' && event === 'start').length, 1);
    const created = creations(audited);
    assert.equal(new Set(created).size, created.length, `each Job was created once: ${created.join(', ')}`);
    return report;
  }
});

/** Names of the Jobs that the API server made. */
function creations(requests: readonly AuditedRequest[]): readonly string[] {
  return requests
    .filter(({ verb, resource, code }) => verb === 'create' && resource === 'jobs' && code === 201)
    .map(({ name }) => name);
}

function status(code: number, reason: string): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code,
    reason,
    message: `${reason}, by the test`,
  };
}
