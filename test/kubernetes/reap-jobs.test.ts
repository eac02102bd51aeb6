import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createReaper, findOrphanJobs, keepReaping } from '../../src/workers/reap-jobs.js';
import { jobOf, runDirectory as directory } from './owned-jobs.js';
import { aJob, SELECTOR, until, withKubernetes } from './kubernetes-world.js';

async function withJobs(t: Parameters<typeof withKubernetes>[0]) {
  const world = await withKubernetes(t);
  const { api, server } = world;
  // The kubelet: a pod that is told to go is gone a moment later.
  const stop = server.state.onChange(({ resource, type, object }) => {
    if (resource === 'pods' && type === 'MODIFIED' && object.metadata.deletionTimestamp !== undefined)
      setTimeout(() => server.state.remove('pods', object.metadata.name), 20);
  });
  t.after(stop);
  await api.createJob(jobOf('open-a1', { runId: 'open', epoch: 'e1' }));
  await api.createJob(jobOf('closed-a1', { runId: 'closed', epoch: 'e1' }));
  await api.createJob(jobOf('reset-a1', { runId: 'reset', epoch: 'before' }));
  await api.createJob(jobOf('unknown-a1', { runId: 'unknown', epoch: 'e1' }));
  await api.createJob(jobOf('foreign-a1', { runId: 'closed', epoch: 'e1', temporalNamespace: 'theirs' }));
  await api.createJob(jobOf('over-a1', { runId: 'closed', epoch: 'e1' }));
  await api.createJob(aJob('by-hand'));
  server.setStatus('jobs', 'over-a1', { conditions: [{ type: 'Failed', status: 'True' }] });
  const runs: { [runId: string]: string } = { open: 'e1', closed: 'closed', reset: 'after' };
  return { ...world, runs, list: async () => await api.listJobs({ labelSelector: SELECTOR }) };
}

describe('Jobs that nobody waits for', () => {
  test('are those of closed and reset runs; ended ones, and those of others, are left alone', async (t) => {
    const { list, runs } = await withJobs(t);
    const { orphans: found } = await findOrphanJobs(directory(runs), await list());
    assert.deepEqual(
      found.map(({ name, why }) => [name, why]),
      [
        ['closed-a1', 'closed'],
        ['reset-a1', 'reset'],
        ['unknown-a1', 'unknown'],
      ],
    );
    assert.equal(found[0]?.stopGraceMs, 1_000);
  });

  test('are ended at the second look, the pod with its grace before the Job', async (t) => {
    const { api, server, list, runs } = await withJobs(t);
    const pod = server.addPod('closed-a1', { phase: 'Running' });
    const reaper = createReaper({ client: directory(runs), api, jobs: list });
    assert.deepEqual(await reaper.pass(), []);
    assert.ok(await api.readJob('closed-a1'));
    assert.deepEqual(await reaper.pass(), ['closed-a1', 'reset-a1']);
    const writes = server.requests.filter(({ method }) => method === 'DELETE');
    const ofPod = writes.findIndex(({ path }) => path.endsWith(`/pods/${pod.metadata.name}`));
    const ofJob = writes.findIndex(({ path }) => path.endsWith('/jobs/closed-a1'));
    assert.ok(ofPod >= 0 && ofPod < ofJob);
    assert.deepEqual(writes[ofPod]?.body, {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 6,
      preconditions: { uid: pod.metadata.uid },
    });
    assert.deepEqual(
      (await list()).map((job) => job.metadata?.name),
      ['open-a1', 'unknown-a1', 'foreign-a1', 'over-a1', 'by-hand'],
    );
    assert.deepEqual(await reaper.pass(), []);
  });

  test('a run that was opened anew between two looks keeps its Job', async (t) => {
    const { api, list, runs } = await withJobs(t);
    const reaper = createReaper({ client: directory(runs), api, jobs: list });
    await reaper.pass();
    runs['closed'] = 'e1';
    assert.deepEqual(await reaper.pass(), ['reset-a1']);
  });

  test('another Job under the name, made since it was listed, is spared', async (t) => {
    const { api, server, list, runs } = await withJobs(t);
    const stale = await list();
    const reaper = createReaper({ client: directory(runs), api, jobs: () => stale });
    await reaper.pass();
    server.state.remove('jobs', 'closed-a1');
    await api.createJob(jobOf('closed-a1', { runId: 'open', epoch: 'e1' }));
    assert.deepEqual(await reaper.pass(), ['reset-a1']);
    assert.ok(await api.readJob('closed-a1'));
  });

  test('of a run that cannot be asked after are left, and keep no other from being ended', async (t) => {
    const { api, list, runs } = await withJobs(t);
    await api.createJob(jobOf('nameless-a1', { runId: '', epoch: 'e1' }));
    const all = directory(runs);
    const refused = { describe: async () => await Promise.reject(new Error('workflow id is not set')) };
    const client = {
      ...all,
      workflow: { getHandle: (runId: string) => (runId === '' ? refused : all.workflow.getHandle(runId)) },
    };
    const reaper = createReaper({ client, api, jobs: list });
    await assert.rejects(reaper.pass(), /workflow id is not set/);
    await assert.rejects(reaper.pass(), /workflow id is not set/);
    assert.deepEqual(
      (await list()).map((job) => job.metadata?.name),
      ['open-a1', 'unknown-a1', 'foreign-a1', 'over-a1', 'by-hand', 'nameless-a1'],
    );
  });

  test('while Temporal or the cluster is away nothing is ended, and the look is taken again', async (t) => {
    const { api, server, list, runs } = await withJobs(t);
    const down = { now: true };
    const reaper = createReaper({ client: directory(runs, down), api, jobs: list });
    await assert.rejects(reaper.pass(), /Temporal is away/);
    down.now = false;
    await reaper.pass();
    await server.goAway();
    await assert.rejects(reaper.pass(), /ECONNREFUSED/);
    await server.comeBack();
    assert.deepEqual(await reaper.pass(), ['closed-a1', 'reset-a1']);
  });

  test('the worker goes on looking after a look that failed, and ends with its signal', async (t) => {
    const { api, list, runs } = await withJobs(t);
    const said: string[] = [];
    const ending = new AbortController();
    const client = directory(runs, { now: true });
    const looking = keepReaping(
      { client, api, jobs: list },
      { signal: ending.signal, log: (text) => void said.push(text) },
    );
    await until('it has said so', () => said.length === 1);
    assert.match(said.join(), /could not look for Jobs of closed runs: .*Temporal is away/);
    ending.abort();
    await looking;
  });
});
