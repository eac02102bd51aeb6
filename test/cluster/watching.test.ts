import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';

import { KubernetesApiError } from '../../src/adapters/kubernetes/api-error.js';
import { createApiTransport, type ApiTransport } from '../../src/adapters/kubernetes/api-transport.js';
import { createKubernetesApi, type KubernetesApi } from '../../src/adapters/kubernetes/api.js';
import { createAttemptWatcher, type AttemptWatcher } from '../../src/adapters/kubernetes/attempt-watcher.js';
import { inspectCluster } from '../../src/adapters/kubernetes/inspect/inspect-cluster.js';
import { loadKubeConnection } from '../../src/adapters/kubernetes/kube-config.js';
import { LABELS, MANAGED_BY, projectSelector } from '../../src/adapters/kubernetes/labels.js';
import { WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { reapJob, readAttemptJobs } from '../../src/adapters/kubernetes/reap-jobs.js';
import { until } from '../system/support/until.js';
import { isWrite, startAudit } from './support/audit-log.js';
import { clusterMissing } from './support/cluster.js';
import { startFaultProxy, type Fault, type FaultProxy } from './support/fault-proxy.js';
import { buildSmallJob } from './support/jobs.js';
import { createNamespace, type ClusterNamespace } from './support/namespace.js';

const PROJECT = 'watched';

/** A Job of the project on a simulated node; it ends after `duration`. */
function jobOf(name: string, duration = '1s', annotations: { readonly [name: string]: string } = {}): V1Job {
  const small = { name, command: ['x'], simulated: true, annotations: { 'anneal.test/duration': duration } };
  const job = buildSmallJob(small) as V1Job;
  const labels = { [LABELS.managedBy]: MANAGED_BY, [LABELS.project]: PROJECT };
  const { template = {} } = job.spec ?? {};
  return {
    ...job,
    metadata: { ...job.metadata, labels, annotations },
    spec: { ...job.spec, template: { ...template, metadata: { ...template.metadata, labels } } },
  };
}

interface Side {
  readonly api: KubernetesApi;
  readonly transport: ApiTransport;
  readonly watcher: AttemptWatcher;
}

describe('watching Jobs of a real cluster', { skip: clusterMissing, concurrency: false }, () => {
  let namespace: ClusterNamespace;
  let proxy: FaultProxy;
  const sides: Side[] = [];
  let number = 0;

  before(async () => {
    namespace = await createNamespace('watching', WORKER_RIGHTS);
    proxy = await startFaultProxy(namespace);
  });

  beforeEach(() => {
    proxy.fault = undefined;
  });

  after(async () => {
    for (const { watcher, transport } of sides) {
      await watcher.stop();
      await transport.close();
    }
    await proxy.close();
    await namespace.remove();
  });

  /** A worker's client and watcher. */
  async function open(kubeconfig: string, idleMs = 3_000): Promise<Side> {
    const connection = await loadKubeConnection({ env: { KUBECONFIG: kubeconfig } });
    const transport = createApiTransport({ connection, timeouts: { answerMs: 3_000 } });
    const watcher = createAttemptWatcher({
      transport,
      namespace: namespace.name,
      labelSelector: projectSelector(PROJECT),
      onProblem: () => undefined,
      times: { idleMs, firstPauseMs: 100, longestPauseMs: 2_000 },
    });
    const side = { api: createKubernetesApi(transport, namespace.name), transport, watcher };
    sides.push(side);
    watcher.start();
    return side;
  }

  const phaseOf = ({ watcher }: Side, job: string) => watcher.view(job).pods[0]?.status?.phase;
  const create = async ({ api, watcher }: Side, job: V1Job) => {
    const created = await api.createJob(job);
    watcher.seen(created);
    return created;
  };

  test('a Job is created, watched to its end and kept for a while, without a request in between', async () => {
    const audited = await startAudit(namespace.cluster);
    const side = await open(namespace.kubeconfig, 60_000);
    await side.watcher.ready();
    const created = await create(side, jobOf('plain'));
    let calls = 0;
    const end = side.watcher.onChange('plain', () => void calls++);
    await until('the Job is complete', () =>
      side.watcher
        .view('plain')
        .job?.status?.conditions?.some(({ type, status }) => type === 'Complete' && status === 'True'),
    );
    end();
    assert.equal(phaseOf(side, 'plain'), 'Succeeded');
    assert.ok(side.watcher.view('plain').pods[0]?.status?.startTime instanceof Date);
    assert.ok(calls >= 3);
    await side.api.setJobTtl('plain', created.metadata?.uid ?? '', 3_600);
    const requests = await audited(namespace.user);
    assert.deepEqual(
      requests.filter(isWrite).map(({ verb, resource }) => `${verb} ${resource}`),
      ['create jobs', 'patch jobs'],
    );
    assert.deepEqual(
      requests
        .filter((request) => !isWrite(request))
        .map(({ verb, resource }) => `${verb} ${resource}`)
        .sort(),
      ['list jobs', 'list pods', 'watch jobs', 'watch pods'],
    );
  });

  test('what Kubernetes refuses is told with its reason and its fields', async () => {
    const { api } = await open(namespace.kubeconfig);
    const unknown = jobOf('unknown-field');
    await assert.rejects(
      api.createJob({ ...unknown, spec: { ...unknown.spec, nosuch: 1 } } as V1Job),
      (error) => {
        assert.ok(error instanceof KubernetesApiError);
        assert.equal(error.status, 400);
        assert.match(error.message, /strict decoding error: unknown field "spec\.nosuch"/);
        return true;
      },
    );
    await assert.rejects(api.createJob(jobOf('x'.repeat(70)), { dryRun: true }), (error) => {
      assert.ok(error instanceof KubernetesApiError);
      assert.deepEqual([error.status, error.reason, error.transient], [422, 'Invalid', false]);
      assert.ok(error.causes.some(({ field }) => field?.startsWith('spec.template')));
      return true;
    });
    assert.equal(await api.readJob('unknown-field'), undefined);
  });

  test('only the object that is meant is changed, stopped or deleted', async () => {
    const side = await open(namespace.kubeconfig);
    const { api, watcher } = side;
    const uid = (await create(side, jobOf('meant', '10m'))).metadata?.uid ?? '';
    await until('its pod runs', () => phaseOf(side, 'meant') === 'Running');
    const pod = watcher.view('meant').pods[0]?.metadata ?? assert.fail('it has a pod');
    const other = '00000000-0000-4000-8000-000000000000';
    await api.deleteJob('meant', { uid: other });
    await api.setJobTtl('meant', other, 1);
    await api.deletePod(pod.name ?? '', { uid: other, graceSeconds: 1 });
    const job = await api.readJob('meant');
    assert.deepEqual(
      [job?.metadata?.deletionTimestamp, job?.spec?.ttlSecondsAfterFinished],
      [undefined, undefined],
    );
    await api.deletePod(pod.name ?? '', { uid: pod.uid ?? '', graceSeconds: 1 });
    await api.deleteJob('meant', { uid });
    await until(
      'both are gone',
      () => watcher.view('meant').job === undefined && watcher.view('meant').pods.length === 0,
    );
  });

  const faults: { readonly [name: string]: () => void } = {
    'connections are cut': () => proxy.cutAll(),
    'every watch is cut after a moment': () => {
      proxy.fault = ({ isWatch }): Fault | undefined => (isWatch ? { kind: 'cut', afterMs: 300 } : undefined);
      proxy.cutAll();
    },
    'watches end in the middle of a line': () => {
      let left = 4;
      proxy.fault = ({ isWatch }): Fault | undefined =>
        isWatch && left-- > 0 ? { kind: 'truncate' } : undefined;
      proxy.cutAll();
    },
    'the server is busy and says when to come back': () => {
      answerWatches(3, {
        status: 429,
        headers: { 'retry-after': '1' },
        body: { message: 'too many requests' },
      });
    },
    'the server fails': () => {
      answerWatches(4, { status: 500, body: { message: 'etcdserver: leader changed' } });
    },
    'the server has forgotten the place': () => {
      answerWatches(2, {
        status: 410,
        body: { code: 410, reason: 'Expired', message: 'too old resource version' },
      });
    },
    'watches are accepted and stay silent': () => {
      let left = 2;
      proxy.fault = ({ isWatch }): Fault | undefined =>
        isWatch && left-- > 0 ? { kind: 'hang' } : undefined;
      proxy.cutAll();
    },
  };

  function answerWatches(times: number, answer: Omit<Extract<Fault, { kind: 'answer' }>, 'kind'>) {
    let left = times;
    proxy.fault = ({ isWatch }): Fault | undefined =>
      isWatch && left-- > 0 ? { kind: 'answer', ...answer } : undefined;
    proxy.cutAll();
  }

  for (const [name, happen] of Object.entries(faults)) {
    test(`no ending is missed when ${name}`, async () => {
      const side = await open(proxy.kubeconfig);
      await side.watcher.ready();
      const job = `fault-${++number}`;
      await create(side, jobOf(job));
      happen();
      await until('the ending is seen', () => phaseOf(side, job) === 'Succeeded');
      await side.watcher.stop();
    });
  }

  test('a place that the real server has forgotten is answered by a new list', async () => {
    const old = { kind: 'JobList', metadata: { resourceVersion: '1' }, items: [] };
    const asked: string[] = [];
    proxy.fault = ({ method, path, isWatch }): Fault | undefined => {
      if (method !== 'GET') return undefined;
      const first = !asked.includes(path) && !isWatch;
      if (!isWatch) asked.push(path);
      return first ? { kind: 'answer', status: 200, body: old } : undefined;
    };
    const side = await open(proxy.kubeconfig);
    await side.watcher.ready();
    await create(side, jobOf('forgotten'));
    await until('the ending is seen', () => phaseOf(side, 'forgotten') === 'Succeeded');
    assert.ok(asked.length >= 4, 'both were listed again');
  });

  test('a create whose answer was lost made one Job', async () => {
    const { api } = await open(proxy.kubeconfig);
    let left = 1;
    proxy.fault = ({ method }): Fault | undefined =>
      method === 'POST' && left-- > 0 ? { kind: 'lose-answer' } : undefined;
    await assert.rejects(api.createJob(jobOf('lost')), (error) => {
      assert.ok(error instanceof KubernetesApiError);
      assert.deepEqual([error.status, error.reason], [409, 'AlreadyExists']);
      return true;
    });
    assert.ok(await api.readJob('lost'));
  });

  test('1,000 Jobs at once: both of two workers see each end, in little memory', async (t) => {
    const workers = await Promise.all([
      open(namespace.kubeconfig, 60_000),
      open(namespace.kubeconfig, 60_000),
    ]);
    await Promise.all(workers.map(async ({ watcher }) => await watcher.ready()));
    const names = Array.from({ length: 1_000 }, (_, i) => `many-${i}`);
    const ends = workers.map(() => new Set<string>());
    for (const [index, worker] of workers.entries())
      for (const name of names)
        worker.watcher.onChange(name, () => {
          if (phaseOf(worker, name) === 'Succeeded') ends[index]?.add(name);
        });
    const beforeMb = process.memoryUsage().rss / 2 ** 20;
    const makeOwn = async ({ api }: Side, own: number) => {
      for (const [index, name] of names.entries())
        if (index % workers.length === own) await api.createJob(jobOf(name));
    };
    await Promise.all(workers.map(makeOwn));
    await until('all are told', () => ends.every(({ size }) => size === names.length), 300_000);
    const heldMb = process.memoryUsage().rss / 2 ** 20 - beforeMb;
    t.diagnostic(`two watchers of 1,000 Jobs and their pods: ${Math.round(heldMb)} MB`);
    assert.ok(heldMb < 300, `${heldMb} MB`);
  });

  test('a Job that nobody waits for is ended, its pod with it', async () => {
    const side = await open(namespace.kubeconfig);
    await create(
      side,
      jobOf('orphan', '10m', { 'anneal.dev/run-id': 'gone', 'anneal.dev/stop-grace-ms': '1000' }),
    );
    await until('its pod runs', () => phaseOf(side, 'orphan') === 'Running');
    const jobs = await side.api.listJobs({ labelSelector: projectSelector(PROJECT) });
    const orphan = readAttemptJobs(jobs).find(({ name }) => name === 'orphan') ?? assert.fail('it is listed');
    assert.equal(await reapJob(side.api, orphan), true);
    assert.equal(await side.api.readJob('orphan'), undefined);
    assert.deepEqual(await side.api.listPods({ labelSelector: 'batch.kubernetes.io/job-name=orphan' }), []);
    assert.equal(await reapJob(side.api, orphan), false);
  });

  test("the doctor finds a worker's account in order, and says what another one lacks", async () => {
    const settings = {
      namespace: namespace.name,
      image: 'kube.local/anneal:1',
      jobsPerSecond: 1,
      maxWatchedJobs: 1,
    };
    const look = async (kubeconfig: string) => {
      const connection = await loadKubeConnection({ env: { KUBECONFIG: kubeconfig } });
      const transport = createApiTransport({ connection });
      try {
        return await inspectCluster({ transport, connection, settings, pools: [] });
      } finally {
        await transport.close();
      }
    };
    const worker = await look(namespace.kubeconfig);
    assert.deepEqual(
      worker.filter(({ level }) => level === 'error'),
      [],
    );
    assert.match(worker.find(({ name }) => name === 'Kubernetes')?.found ?? '', /^v1\.36\.\d+ at https:/);
    const { kubeconfig } = await namespace.account('reader', [
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get', 'list', 'watch'] },
    ]);
    const reader = (await look(kubeconfig)).find(({ name }) => name === 'Rights');
    assert.match(
      reader?.found ?? '',
      /^this account may not create jobs, patch jobs, delete jobs, list pods, watch pods, delete pods, get pods\/log, list events and list workloads in "watching-/,
    );
    const admin = await look(namespace.cluster.kubeconfig);
    assert.deepEqual(
      admin.filter(({ level }) => level === 'error').map(({ name }) => name),
      [],
    );
  });
});
