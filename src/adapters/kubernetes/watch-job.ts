import type { CoreV1Event, V1Job } from '@kubernetes/client-node';
import type { AttemptLaunch, AttemptProgress, AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { readVerdict } from './attempt-verdict.js';
import type { AttemptView } from './attempt-watcher.js';
import { createWaker } from './create-waker.js';
import { diagnose } from './diagnosis/diagnose.js';
import type { Diagnosis, DiagnosedFailure, SeenAttempt } from './diagnosis/diagnosis.js';
import { hasMainEnded, isTerminal } from './diagnosis/pod-facts.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { measurePhases } from './measure-phases.js';
import { FOREIGN_LABELS } from './labels.js';
import { createPodsSeen, type PodsSeen } from './pods-seen.js';
import { createEvents } from './watch-events.js';
import { createMetrics } from './watch-metrics.js';

/** An attempt whose Job there is. */
export interface WatchedJob {
  readonly launch: AttemptLaunch;
  readonly job: V1Job;
  readonly adopted: boolean;
  readonly watch: AttemptWatch;
}

/** How a watched attempt ended. */
export type WatchedEnd =
  | { readonly kind: 'stored'; readonly outcome: AttemptOutcome; readonly pods: PodsSeen }
  | {
      readonly kind: 'diagnosed';
      readonly failure: DiagnosedFailure;
      readonly startedAtMs?: number;
      readonly endedAtMs?: number;
      /** What is left of it has to be ended. */
      readonly alive: boolean;
      readonly pods: PodsSeen;
      readonly events: readonly CoreV1Event[];
    };

/**
 * Watches an attempt to its end, reports what it is doing and its metrics, and asks the API for nothing while all goes well.
 * @throws the reason of whichever of the two signals is aborted first.
 */
export async function watchJob(deps: KubernetesExecutorDeps, watched: WatchedJob): Promise<WatchedEnd> {
  const metrics = createMetrics(deps, watched);
  const end = await watchToEnd(deps, watched, metrics);
  const { pods } = end;
  const { job = watched.job } = deps.watcher.view(watched.launch.name);
  const endedAtMs = end.kind === 'stored' ? end.outcome.endedAtMs : deps.clock.nowMs();
  const commandEndedAtMs = metrics.commandEndedAtMs(pods);
  watched.watch.onPhases?.(measurePhases({ job, pods: pods.pods, commandEndedAtMs, endedAtMs }));
  return end;
}

async function watchToEnd(
  deps: KubernetesExecutorDeps,
  watched: WatchedJob,
  metrics: ReturnType<typeof createMetrics>,
): Promise<WatchedEnd> {
  const { clock } = deps;
  const { launch, watch, job } = watched;
  const pods = createPodsSeen();
  const waker = createWaker(deps.watcher, launch.name, watch);
  const events = createEvents(deps, job);
  const report = createReport(watched);
  let confirmed: AttemptView | undefined;
  try {
    for (;;) {
      watch.cancelled.throwIfAborted();
      watch.detached.throwIfAborted();
      const view = confirmed ?? deps.watcher.view(launch.name);
      pods.update(view);
      const outcome = mayHaveEnded(view, pods) && (await readStored(deps, launch, { view, pods }));
      if (outcome) {
        await metrics.read(pods, { atEnd: true });
        return { kind: 'stored', outcome, pods };
      }
      const found = diagnose(seenOf(deps, watched, { job: view.job, pods, events }));
      if (found.state === 'ended') {
        if (confirmed || hasEndedPod(pods)) return await diagnosed(found, { pods, events, alive: false });
        confirmed = await lookAgain(deps, launch.name);
        continue;
      }
      confirmed = undefined;
      report(withUpload(found, metrics.commandEndedAtMs(pods)));
      const leftMs = found.limit ? found.limit.atMs - clock.nowMs() : Infinity;
      if (found.limit && leftMs <= 0) {
        const { failure } = found.limit;
        return await diagnosed({ state: 'ended', failure }, { pods, events, alive: true });
      }
      if (await events.refresh(found, pods)) continue;
      await metrics.read(pods, { atEnd: false });
      report(withUpload(found, metrics.commandEndedAtMs(pods)));
      await waker.next(Math.min(leftMs, events.dueInMs(found), metrics.dueInMs(pods)));
    }
  } finally {
    waker.close();
  }
}

/** A container whose command has ended runs on until its outputs are stored. */
function withUpload(found: Active, commandEndedAtMs: number | undefined): Active {
  if (found.phase !== 'running' || commandEndedAtMs === undefined) return found;
  return { ...found, phase: 'uploading', sinceMs: commandEndedAtMs };
}

type Active = Extract<Diagnosis, { state: 'active' }>;

function mayHaveEnded({ job }: AttemptView, { pods, gone }: PodsSeen): boolean {
  return job === undefined || gone.size > 0 || pods.some((pod) => hasMainEnded(pod) || isTerminal(pod));
}

async function readStored(
  { store }: KubernetesExecutorDeps,
  { request, name }: AttemptLaunch,
  { view, pods }: { readonly view: AttemptView; readonly pods: PodsSeen },
): Promise<AttemptOutcome | undefined> {
  try {
    return await readVerdict(store, { executionId: request.executionId, name }, pods.uids);
  } catch (error) {
    // While another pod of the Job runs on, a store that is away for a moment must not end it: it is asked again.
    if (error instanceof AnnealError && error.code === 'StoreUnavailable' && goesOn(view)) return undefined;
    throw error;
  }
}

function goesOn({ job, pods }: AttemptView): boolean {
  return job !== undefined && pods.some((pod) => !hasMainEnded(pod) && !isTerminal(pod));
}

function hasEndedPod({ pods, gone }: PodsSeen): boolean {
  const pod = pods.at(-1);
  // One that was taken away may have been taken by Kueue, whose word on the Job comes by another watch.
  const { uid = '', deletionTimestamp } = pod?.metadata ?? {};
  return pod !== undefined && isTerminal(pod) && !gone.has(uid) && deletionTimestamp === undefined;
}

/** A watch may lag behind, and that of pods behind that of Jobs: what seems gone is asked for once. */
async function lookAgain({ api, watcher }: KubernetesExecutorDeps, name: string): Promise<AttemptView> {
  const [job, pods] = await Promise.all([
    api.readJob(name),
    api.listPods({ labelSelector: `${FOREIGN_LABELS.jobName}=${name}` }),
  ]);
  if (job) watcher.seen(job);
  return { pods, ...(job && { job }) };
}

async function diagnosed(
  { failure, startedAtMs, endedAtMs }: Extract<Diagnosis, { state: 'ended' }>,
  {
    pods,
    events,
    alive,
  }: { readonly pods: PodsSeen; readonly events: ReturnType<typeof createEvents>; readonly alive: boolean },
): Promise<WatchedEnd> {
  await events.ask(pods).catch(() => undefined);
  return {
    kind: 'diagnosed',
    failure,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(endedAtMs === undefined ? {} : { endedAtMs }),
    alive: alive || pods.pods.length === 0 || pods.pods.some((pod) => !isTerminal(pod)),
    pods,
    events: events.known,
  };
}

function seenOf(
  { placementOf, clock }: KubernetesExecutorDeps,
  { launch: { request } }: WatchedJob,
  {
    job,
    pods,
    events,
  }: {
    readonly job: V1Job | undefined;
    readonly pods: PodsSeen;
    readonly events: ReturnType<typeof createEvents>;
  },
): SeenAttempt {
  return {
    step: request.step,
    pool: request.pool,
    ...(job && { job }),
    pods: pods.pods,
    gone: pods.gone,
    events: events.known,
    workloads: events.workloads,
    maxPendingMs: placementOf(request.pool)?.placement.maxPendingMs ?? MAX_PENDING_MS,
    nowMs: clock.nowMs(),
  };
}

/** Of a pool that was taken out of anneal.yaml while a Job of it runs. */
const MAX_PENDING_MS = 3_600_000;

function createReport({ watch, adopted }: WatchedJob) {
  let last = '';
  return ({ phase, sinceMs, detail }: Active) => {
    const key = `${phase} ${detail ?? ''}`;
    if (key === last) return;
    last = key;
    const progress: AttemptProgress = {
      phase,
      sinceMs,
      adopted,
      ...(detail === undefined ? {} : { detail }),
    };
    watch.onProgress(progress);
  };
}
