import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { endJob } from '../../src/adapters/kubernetes/end-job.js';
import { failedWith, recordWatch } from '../executor/contract.js';
import { removeDeleted, withExecutor } from './executor-world.js';
import { aJob, until, withKubernetes } from './kubernetes-world.js';

const throttle = () => Promise.resolve();
const WAITING = {
  phase: 'Pending',
  containerStatuses: [{ name: 'main', state: { waiting: { reason: 'ErrImagePull' } } }],
};
const RUNNING = { phase: 'Running', containerStatuses: [{ name: 'main', state: { running: {} } }] };

async function withJob(t: TestContext, status: object) {
  const world = await withKubernetes(t);
  const watcher = await world.watcher();
  await world.api.createJob(aJob('x-a1'));
  const pod = world.server.addPod('x-a1', status).metadata.name;
  await until('it is seen', () => watcher.view('x-a1').pods.length === 1);
  const deletions = () =>
    world.server.requests.filter(
      ({ method, resource, path }) => method === 'DELETE' && resource === 'pods' && path.endsWith(pod),
    );
  const jobReads = () =>
    world.server.requests.filter(
      ({ method, resource, watch, query }) =>
        method === 'GET' && resource === 'jobs' && !watch && !query.has('limit'),
    );
  return { ...world, watcher, pod, deletions, jobReads };
}

describe('ending a Job', () => {
  test('is told by the watch when all is gone, and asks the API twice', async (t) => {
    const { api, watcher, server, pod, deletions, jobReads } = await withJob(t, RUNNING);
    const ended = endJob({ api, watcher, throttle }, { name: 'x-a1', graceMs: 30_000, project: 'churn' });
    await until('its pod is deleted', () => deletions().length === 1);
    // A kubelet that takes its time, and tells of it.
    for (let n = 1; n <= 60; n++) {
      server.setStatus('pods', pod, { message: String(n) });
      await until('it is seen', () => watcher.view('x-a1').pods[0]?.status?.message === String(n));
    }
    server.state.remove('pods', pod);
    await ended;
    assert.equal(jobReads().length, 2, 'one question before, one after');
  });

  test('asks the API itself while the watch is broken', async (t) => {
    const { api, server, pod, deletions } = await withJob(t, RUNNING);
    const watcher = { onChange: () => () => undefined, view: () => ({ pods: [] }), lagMs: 60_000 };
    const ended = endJob({ api, watcher, throttle }, { name: 'x-a1', graceMs: 0, project: 'churn' });
    await until('its pod is deleted', () => deletions().length === 1);
    server.state.remove('pods', pod);
    await ended;
  });

  test('leaves a Job of the name, and its pod, alone that are not of the project', async (t) => {
    const { api, watcher, server, pod } = await withJob(t, RUNNING);
    await endJob({ api, watcher, throttle }, { name: 'x-a1', graceMs: 0, project: 'other' });
    server.state.put('jobs', { metadata: { name: 'made-by-hand' }, spec: {} });
    await endJob({ api, watcher, throttle }, { name: 'made-by-hand', graceMs: 0, project: 'churn' });
    assert.ok(server.state.read('jobs', 'x-a1') && server.state.read('pods', pod));
    assert.ok(server.state.read('jobs', 'made-by-hand'));
  });

  test('does not wait for the pull of an image longer than its short grace', async (t) => {
    const { api, watcher, server, deletions } = await withJob(t, WAITING);
    // The API server: with a grace of 0 a pod is gone without its node.
    const stop = server.state.onChange(({ resource, object }) => {
      const { deletionGracePeriodSeconds: grace } = object.metadata as {
        readonly deletionGracePeriodSeconds?: number;
      };
      if (resource === 'pods' && grace === 0)
        setImmediate(() => server.state.remove('pods', object.metadata.name));
    });
    t.after(stop);
    const deps = { api, watcher, throttle, unbegunGraceSeconds: 1 };
    await endJob(deps, { name: 'x-a1', graceMs: 30_000, project: 'churn' });
    assert.deepEqual(
      deletions().map(({ body }) => (body as { gracePeriodSeconds: number }).gracePeriodSeconds),
      [1, 0],
    );
  });

  test('forces nothing of a command that began meanwhile', async (t) => {
    const { api, watcher, server, pod, deletions, jobReads } = await withJob(t, WAITING);
    const deps = { api, watcher, throttle, unbegunGraceSeconds: 1 };
    const ended = endJob(deps, { name: 'x-a1', graceMs: 30_000, project: 'churn' });
    await until('its pod is deleted', () => deletions().length === 1);
    server.setStatus('pods', pod, RUNNING);
    await until('it was looked at again', () => jobReads().length === 2);
    server.state.remove('pods', pod);
    await ended;
    assert.equal(deletions().length, 1);
  });
});

describe('many attempts that are ended at once', () => {
  test('ask the API at a bounded rate', async (t) => {
    const world = await withExecutor(t);
    const names = Array.from({ length: 60 }, (_, i) => `many-${i}-a1`);
    await Promise.all(
      names.map(async (name) => await world.executor.end(name, { graceMs: 0, executionId: 'execution' })),
    );
    const asked = world.server.requests.filter(
      ({ method, resource, watch, query }) =>
        method === 'GET' && !watch && resource === 'pods' && query.get('labelSelector')?.includes('job-name'),
    );
    const times = asked.map(({ atMs }) => atMs).sort((a, b) => a - b);
    assert.equal(times.length, 120);
    assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > 150, 'twenty after the first burst of a hundred');
  });
});

describe('an attempt that is recorded as stopped', () => {
  test('is not believed gone while its pod runs: it is ended again, and then it is', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const first = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', first.isRunning);
    first.detach.abort(new Error('worker stops'));
    await assert.rejects(first.outcome, /worker stops/);
    world.server.fail({ method: 'DELETE', resource: 'pods', answer: { status: 403, message: 'not now' } });
    await assert.rejects(
      world.executor.end(launch.name, { graceMs: 0, executionId: 'execution' }),
      /not now/,
    );
    assert.equal(await world.executor.find({ name: launch.name, executionId: 'execution' }), 'running');
    const again = world.executor.run(launch, recordWatch().watch);
    let settled = false;
    void again.finally(() => (settled = true));
    await until(
      'its pod is deleted',
      () => world.server.state.read('pods', pod.name)?.metadata.deletionTimestamp !== undefined,
    );
    assert.equal(settled, false);
    await removeDeleted(world, pod.name);
    failedWith(await again, 'AttemptKilled');
  });
});

describe('an API server that is away when a worker starts', () => {
  test('holds up neither a cancel nor a stop of the worker', async (t) => {
    const world = await withExecutor(t);
    await world.server.goAway();
    const executor = world.createUnreadyExecutor();
    for (const ask of [
      async (signal: AbortSignal) => {
        await executor.find({ name: 'x-a1', executionId: 'execution' }, signal);
      },
      async (signal: AbortSignal) => {
        const { watch } = recordWatch();
        await executor.run(world.launchOf(), { ...watch, detached: signal });
      },
    ]) {
      const stop = new AbortController();
      const asked = ask(stop.signal);
      setTimeout(() => stop.abort(new Error('worker stops')), 20);
      await assert.rejects(asked, /worker stops/);
    }
    await world.server.comeBack();
  });
});
