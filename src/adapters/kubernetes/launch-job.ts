import { setTimeout as wait } from 'node:timers/promises';
import type { V1Job } from '@kubernetes/client-node';
import type { AttemptLaunch, AttemptWatch } from '../../activities/ports/executor.js';
import { storeKeys } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import type { PodLaunch } from '../../core/pod-launch.js';
import { toBytes } from '../attempt-files/stored-outcome.js';
import { isQuotaRefusal, KubernetesApiError } from './api-error.js';
import { refusalOf } from './api-refusal.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { ANNOTATIONS, LABELS, MANAGED_BY, toLabelValue } from './labels.js';
import { inputMounts, mountedInFetch } from './pod/build-input-mounts.js';
import { buildJob, specHash } from './pod/build-job.js';

/** A Job that is the attempt's. */
export interface LaunchedJob {
  readonly job: V1Job;
  /** False: somebody, perhaps this worker before its answer was lost, had made it. */
  readonly created: boolean;
}

/** How a launch waits, and what it says of it. */
export interface LaunchContext {
  /** Lets one Job through at a time. */
  readonly throttle: (signal: AbortSignal) => Promise<void>;
  readonly watch: AttemptWatch;
  readonly signal: AbortSignal;
}

/**
 * Makes the Job of an attempt: its launch and its code go to the store first, so that the Job itself is small. Waits for quota and for the API.
 * @throws AnnealError where the cluster refuses, or the pool does not let the step ask for what it does. Nothing is left behind then.
 */
export async function launchJob(
  deps: KubernetesExecutorDeps,
  launch: AttemptLaunch,
  context: LaunchContext,
): Promise<LaunchedJob> {
  const { api, store } = deps;
  const { request, name } = launch;
  const pod = buildPodLaunch(deps, launch);
  const job = buildAttemptJob(deps, launch, pod);
  await Promise.all([
    request.code.length > 0 && deps.shipCode({ build: request.build, step: request.step }),
    store.putBytes(storeKeys.launch(request.executionId, name), toBytes(pod), { ifAbsent: true }),
  ]);
  const patience = createPatience(deps, launch, context);
  for (;;) {
    await context.throttle(context.signal);
    try {
      return { job: await api.createJob(job), created: true };
    } catch (error) {
      if (!(error instanceof KubernetesApiError)) throw error;
      const found = error.reason === 'AlreadyExists' ? await api.readJob(name) : undefined;
      if (found) return { job: found, created: false };
      // Deleted between the two: Kubernetes may give no pods to a second Job of one name.
      if (error.reason === 'AlreadyExists')
        throw new AnnealError('PodDeleted', 'Its Job was deleted, and not by Anneal.', { cause: error });
      await patience(error);
    }
  }
}

/** @throws AnnealError PodRefused when a Job of the attempt's name is another's. */
export function checkOwnership(
  deps: Pick<KubernetesExecutorDeps, 'project' | 'api'>,
  { request, name }: AttemptLaunch,
  { metadata }: V1Job,
): void {
  const ours =
    metadata?.labels?.[LABELS.managedBy] === MANAGED_BY &&
    metadata.labels[LABELS.project] === toLabelValue(deps.project) &&
    metadata.annotations?.[ANNOTATIONS.specHash] === specHash(request);
  if (ours) return;
  throw new AnnealError(
    'PodRefused',
    `Namespace "${deps.api.namespace}" has a Job ${name} that was not made for this attempt (its labels or its ${ANNOTATIONS.specHash} differ). It was left alone; look at who made it, then start the run again.`,
  );
}

function buildPodLaunch(
  deps: KubernetesExecutorDeps,
  { request, name, runId, environment }: AttemptLaunch,
): PodLaunch {
  const placement = deps.placementOf(request.pool)?.placement;
  const mounts = placement ? inputMounts(request, placement) : [];
  const isPinned = Object.values(request.inputs).some(({ pin }) => pin !== undefined);
  return {
    version: 1,
    name,
    runId,
    request,
    environment,
    ...(isPinned && { data: deps.data ?? { allowHosts: [], s3: {} } }),
    ...(mounts.length > 0 && { mounted: mountedInFetch(mounts) }),
    preparedAtMs: deps.clock.nowMs(),
    uploadTimeoutMs: deps.uploadTimeoutMs ?? UPLOAD_TIMEOUT_MS,
    checkpointSettleMs: deps.checkpointSettleMs ?? SETTLE_MS,
  };
}

const UPLOAD_TIMEOUT_MS = 600_000;
const SETTLE_MS = 10_000;

function buildAttemptJob(
  deps: KubernetesExecutorDeps,
  { request, owner }: AttemptLaunch,
  launch: PodLaunch,
): V1Job {
  const pool = deps.placementOf(request.pool);
  if (pool === undefined)
    throw new AnnealError(
      'InvalidConfig',
      `Step "${request.step}" was given to pool "${request.pool}", which is no Kubernetes pool of this worker's anneal.yaml. Start the worker with the anneal.yaml of the run.`,
    );
  const { store, settings, s3, mlflowSecret } = deps;
  const access = settings.store;
  return buildJob({
    launch,
    owner,
    placement: pool.placement,
    ...(pool.ephemeralStorage === undefined ? {} : { maxEphemeralStorage: pool.ephemeralStorage }),
    namespace: deps.api.namespace,
    agentImage: settings.image,
    store: {
      uri: store.rootUri,
      uriOf: (key) => store.uriOf(key),
      ...(s3 === undefined ? {} : { s3 }),
      ...(access === undefined ? {} : { access }),
    },
    ...(mlflowSecret === undefined ? {} : { mlflowSecret }),
  });
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** Waits after a refusal that passes, such as a quota's, until the pool's `maxPending` is over. @throws AnnealError for any other. */
function createPatience(
  deps: KubernetesExecutorDeps,
  { request }: AttemptLaunch,
  { watch, signal }: LaunchContext,
) {
  const beganMs = deps.clock.nowMs();
  const maxPendingMs = deps.placementOf(request.pool)?.placement.maxPendingMs ?? 0;
  let pauseMs = FIRST_PAUSE_MS;
  const patience = async (error: KubernetesApiError): Promise<void> => {
    const isQuota = isQuotaRefusal(error);
    const refusal = refusalOf(error, deps.api.namespace);
    if (!isQuota && !error.transient) throw refusal;
    const detail = isQuota ? `quota: ${error.message}` : refusal.message;
    const leftMs = maxPendingMs - (deps.clock.nowMs() - beganMs);
    const askedMs = Math.max(pauseMs, error.retryAfterMs ?? 0);
    if (leftMs <= 0) {
      if (!isQuota) throw refusal;
      throw new AnnealError(
        'PendingTooLong',
        `It waited for as long as the maxPending of pool "${request.pool}" allows: ${detail}. Ask for less, raise the quota, or raise pools.${request.pool}.maxPending.`,
      );
    }
    watch.onProgress({ phase: 'queued', sinceMs: beganMs, adopted: false, detail });
    // However long the server asks to be left alone, it is not asked again after the end of the time.
    await wait(Math.min(askedMs, leftMs), undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
    if (askedMs > leftMs) return await patience(error);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  };
  return patience;
}
