import type { CoreV1Event, V1Job } from '@kubernetes/client-node';
import type { AttemptLaunch, AttemptProgress, AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import type { AttemptPlace } from '../attempt-files/stored-outcome.js';
import { readVerdict } from './attempt-verdict.js';
import { createWaker } from './create-waker.js';
import { diagnose } from './diagnosis/diagnose.js';
import type { Diagnosis, DiagnosedFailure, SeenAttempt } from './diagnosis/diagnosis.js';
import { hasMainEnded, isTerminal } from './diagnosis/pod-facts.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { createPodsSeen, type PodsSeen } from './pods-seen.js';
import { createStoredMetrics, type StoredMetrics } from './stored-metrics.js';

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
  const { watcher, store, clock } = deps;
  const { launch, watch, job } = watched;
  const { name, request } = launch;
  const place: AttemptPlace = { executionId: request.executionId, name };
  const pods = createPodsSeen();
  const waker = createWaker(watcher, name, watch);
  const events = createEvents(deps, job);
  const report = createReport(watched);
  const metrics = createMetrics(deps, watched);
  let confirmedGone = false;
  try {
    for (;;) {
      watch.cancelled.throwIfAborted();
      watch.detached.throwIfAborted();
      const view = watcher.view(name);
      pods.update(view);
      if (
        pods.gone.size > 0 ||
        pods.pods.some((pod) => hasMainEnded(pod) || isTerminal(pod)) ||
        view.job === undefined
      ) {
        const outcome = await readVerdict(store, place, pods.uids);
        if (outcome) {
          await metrics(pods, true);
          return { kind: 'stored', outcome, pods };
        }
      }
      const found = diagnose(seenOf(deps, watched, { job: view.job, pods, events: events.known }));
      if (found.state === 'ended') {
        // The watch may lag behind: what it no longer shows is asked for once.
        if (view.job !== undefined || confirmedGone) return await diagnosed(found, false);
        confirmedGone = true;
        const there = await deps.api.readJob(name);
        if (there?.metadata?.uid === job.metadata?.uid && there) watcher.seen(there);
        continue;
      }
      report(found);
      const nowMs = clock.nowMs();
      if (found.limit && found.limit.atMs <= nowMs)
        return await diagnosed({ state: 'ended', failure: found.limit.failure }, true);
      if (await events.refresh(found, pods)) continue;
      await metrics(pods, false);
      await waker.next(
        Math.min(
          found.limit ? found.limit.atMs - nowMs : Infinity,
          events.dueInMs(found),
          metrics.everyMs(pods),
        ),
      );
    }
  } finally {
    waker.close();
  }

  async function diagnosed(
    found: Extract<Diagnosis, { state: 'ended' }>,
    alive: boolean,
  ): Promise<WatchedEnd> {
    await events.ask(pods).catch(() => undefined);
    const { failure, startedAtMs, endedAtMs } = found;
    const times = {
      ...(startedAtMs === undefined ? {} : { startedAtMs }),
      ...(endedAtMs === undefined ? {} : { endedAtMs }),
    };
    const left = alive || pods.pods.some((pod) => !isTerminal(pod)) || pods.pods.length === 0;
    return { kind: 'diagnosed', failure, ...times, alive: left, pods, events: events.known };
  }
}

function seenOf(
  { placementOf, clock }: KubernetesExecutorDeps,
  { launch: { request } }: WatchedJob,
  {
    job,
    pods,
    events,
  }: { readonly job: V1Job | undefined; readonly pods: PodsSeen; readonly events: readonly CoreV1Event[] },
): SeenAttempt {
  return {
    step: request.step,
    pool: request.pool,
    ...(job && { job }),
    pods: pods.pods,
    gone: pods.gone,
    events,
    maxPendingMs: placementOf(request.pool)?.placement.maxPendingMs ?? MAX_PENDING_MS,
    nowMs: clock.nowMs(),
  };
}

/** Of a pool that was taken out of anneal.yaml while a Job of it runs. */
const MAX_PENDING_MS = 3_600_000;

function createReport({ watch, adopted }: WatchedJob) {
  let last = '';
  return ({ phase, sinceMs, detail }: Extract<Diagnosis, { state: 'active' }>) => {
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

/** An attempt that does not start is asked after more and more seldom; one that does is never asked after. */
const EVENTS_AFTER_MS = [10_000, 30_000, 90_000];
const EVENTS_EVERY_MS = 300_000;

/** Events of a Job without a pod, and of a pod whose containers do not start. */
function createEvents({ api, clock }: KubernetesExecutorDeps, job: V1Job) {
  let known: readonly CoreV1Event[] = [];
  let since = '';
  let sinceMs = clock.nowMs();
  let asked = 0;
  const isStuck = ({ phase }: { readonly phase: string }) => phase === 'queued' || phase === 'pulling';
  const dueAtMs = () => {
    const after = EVENTS_AFTER_MS[asked];
    return (
      sinceMs +
      (after ??
        EVENTS_AFTER_MS.reduce((sum, ms) => Math.max(sum, ms), 0) +
          EVENTS_EVERY_MS * (asked - EVENTS_AFTER_MS.length + 1))
    );
  };
  const ask = async (pods: PodsSeen) => {
    const uids = [job.metadata?.uid ?? '', ...pods.uids].filter((uid) => uid !== '');
    const lists = await Promise.all(uids.map(async (involvedUid) => await api.listEvents({ involvedUid })));
    known = lists.flat();
  };
  return {
    get known() {
      return known;
    },
    ask,
    dueInMs: (found: { readonly phase: string }) =>
      isStuck(found) ? Math.max(0, dueAtMs() - clock.nowMs()) : Infinity,
    /** @returns whether there is anything new to judge by. */
    refresh: async (found: { readonly phase: string }, pods: PodsSeen): Promise<boolean> => {
      const stage = `${found.phase} ${pods.uids.length}`;
      if (stage !== since) {
        since = stage;
        sinceMs = clock.nowMs();
        asked = 0;
      }
      if (!isStuck(found) || clock.nowMs() < dueAtMs()) return false;
      asked++;
      const before = known.length;
      await ask(pods).catch(() => undefined);
      return known.length !== before;
    },
  };
}

/** Points of the streams of all pods that have run, now and then, and once more at the end. */
function createMetrics(deps: KubernetesExecutorDeps, { launch, watch }: WatchedJob) {
  const everyMs = deps.metricsEveryMs ?? METRICS_EVERY_MS;
  const streams = new Map<string, StoredMetrics>();
  let lookedAt = 0;
  const hasRun = (pods: PodsSeen) => pods.pods.some(({ status }) => status?.phase === 'Running');
  const read = async (pods: PodsSeen, atEnd: boolean) => {
    if (!atEnd && (!hasRun(pods) || performance.now() - lookedAt < everyMs)) return;
    lookedAt = performance.now();
    const { executionId } = launch.request;
    for (const podUid of pods.uids) {
      const place = { executionId, attemptName: launch.name, podUid };
      const startedAtMs = Date.parse(
        String(pods.pods.find(({ metadata }) => metadata?.uid === podUid)?.metadata?.creationTimestamp),
      );
      const stream =
        streams.get(podUid) ??
        createStoredMetrics(deps.store, place, Number.isNaN(startedAtMs) ? 0 : startedAtMs);
      streams.set(podUid, stream);
      // A curve is worth no failure: what could not be read is read with the next look.
      const points = await stream().catch(() => []);
      if (points.length > 0) watch.onMetrics(points);
    }
  };
  return Object.assign(read, { everyMs: (pods: PodsSeen) => (hasRun(pods) ? everyMs : Infinity) });
}

const METRICS_EVERY_MS = 5_000;
