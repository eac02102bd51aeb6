import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import type { AttemptWatcher } from '../../src/adapters/kubernetes/attempt-watcher.js';
import { createKubernetesExecutor } from '../../src/adapters/kubernetes/create-kubernetes-executor.js';
import type { KubernetesExecutorDeps } from '../../src/adapters/kubernetes/executor-deps.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { Manifest } from '../../src/core/artifacts.js';
import type { AttemptOutcome } from '../../src/core/attempt.js';
import type { KubernetesPlacement } from '../../src/core/kubernetes.js';
import { buildLaunch, recordWatch } from '../executor/contract.js';
import { PLACEMENT } from './job-request.js';
import { until, withKubernetes } from './kubernetes-world.js';

/** A Kubernetes executor on a fake API server; the test plays controller, kubelet and agent. */
export async function withExecutor(
  t: TestContext,
  options: { readonly placement?: Partial<KubernetesPlacement> } & Partial<KubernetesExecutorDeps> = {},
) {
  const { placement, ...more } = options;
  const world = await withKubernetes(t);
  const { server, api } = world;
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-kubernetes-'));
  t.after(async () => await rm(root, { recursive: true, force: true }));
  const store = createFileStore({ root });
  const shipped: string[] = [];
  const clock = { offsetMs: 0, nowMs: () => Date.now() + clock.offsetMs };
  const createExecutorOn = (watcher: AttemptWatcher) =>
    createKubernetesExecutor({
      api,
      watcher,
      store,
      project: 'churn',
      settings: { image: 'anneal:1', jobsPerSecond: 100 },
      placementOf: (pool) => (pool === 'gone' ? undefined : { placement: { ...PLACEMENT, ...placement } }),
      shipCode: async ({ build, step }) => void (await Promise.resolve(shipped.push(`${build}/${step}`))),
      clock,
      log: () => undefined,
      metricsEveryMs: 20,
      ...more,
    });
  const createExecutor = async () => createExecutorOn(await world.watcher());
  const executor = await createExecutor();
  const launchOf = (request: Parameters<typeof buildLaunch>[0] = {}, name?: string): AttemptLaunch => ({
    ...buildLaunch({ project: 'churn', step: 'train', ...request }, name),
    owner: { namespace: 'default', epoch: 'epoch' },
  });
  const put = async (key: string, value: unknown) => {
    await store.putBytes(key, Buffer.from(JSON.stringify(value)));
  };
  const placeOf = ({ request, name }: AttemptLaunch, podUid: string) => ({
    executionId: request.executionId,
    attemptName: name,
    podUid,
  });
  return {
    ...world,
    store,
    shipped,
    clock,
    executor,
    createExecutor,
    /** One whose watcher has not listed anything yet. */
    createUnreadyExecutor: () => createExecutorOn(world.startWatcher()),
    launchOf,
    /** Begins an attempt and resolves when its Job is there. */
    begin: async (launch: AttemptLaunch, with_ = executor) => {
      const recorded = recordWatch();
      const outcome = with_.run(launch, recorded.watch);
      outcome.catch(() => undefined);
      await until('the Job is there', () => server.state.read('jobs', launch.name) !== undefined);
      return { ...recorded, outcome };
    },
    /** A pod of the attempt whose containers run. */
    startPod: (launch: AttemptLaunch) => {
      const pod = server.addPod(launch.name);
      server.setStatus('pods', pod.metadata.name, RUNNING);
      return { name: pod.metadata.name, uid: pod.metadata.uid ?? '' };
    },
    /** What the agent of a pod stores when the step has succeeded. */
    storeManifest: async (launch: AttemptLaunch) => {
      const manifest: Manifest = {
        version: 1,
        attempt: launch.name,
        outputs: {},
        parameters: { rows: 7 },
        startedAtMs: 1,
        endedAtMs: 2,
      };
      await put(storeKeys.manifest(launch.request.executionId, launch.name), manifest);
    },
    storePodOutcome: async (launch: AttemptLaunch, podUid: string, outcome: AttemptOutcome) => {
      await put(storeKeys.podOutcome(placeOf(launch, podUid)), outcome);
    },
    storePoints: async (
      launch: AttemptLaunch,
      podUid: string,
      piece: { readonly number: number; readonly text: string },
    ) => {
      const prefix = storeKeys.podChunks(placeOf(launch, podUid), 'metrics');
      await store.putBytes(`${prefix}${String(piece.number).padStart(8, '0')}`, Buffer.from(piece.text));
    },
    /** The containers of a pod have ended. */
    endPod: (pod: string, exitCode: number, more: object = {}) =>
      server.setStatus('pods', pod, {
        phase: exitCode === 0 ? 'Succeeded' : 'Failed',
        containerStatuses: [
          { ...MAIN, state: { terminated: { exitCode, finishedAt: new Date().toISOString() } } },
        ],
        ...more,
      }),
    writes: () =>
      server.requests
        .filter(({ method, resource }) => method !== 'GET' && resource !== 'selfsubjectaccessreviews')
        .map(({ method, resource }) => `${method} ${resource}`),
    reads: () =>
      server.requests
        .filter(({ method, watch, query }) => method === 'GET' && !watch && !query.has('limit'))
        .map(({ path: asked }) => asked),
  };
}

/** The kubelet of a pod that is told to go. */
export async function removeDeleted(
  { server }: Pick<Awaited<ReturnType<typeof withExecutor>>, 'server'>,
  pod: string,
): Promise<void> {
  await until(
    'the pod is deleted',
    () => server.state.read('pods', pod)?.metadata.deletionTimestamp !== undefined,
  );
  server.state.remove('pods', pod);
}

const MAIN = { name: 'main', image: 'x', imageID: '', ready: true, restartCount: 0 };
const RUNNING = {
  phase: 'Running',
  conditions: [{ type: 'PodScheduled', status: 'True' }],
  containerStatuses: [{ ...MAIN, state: { running: { startedAt: new Date().toISOString() } } }],
};
