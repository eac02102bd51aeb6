import type { AttemptLaunch, AttemptWatch } from '../../activities/ports/executor.js';
import { timeOf } from './diagnosis/pod-facts.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import type { PodsSeen } from './pods-seen.js';
import { createStoredMetrics, type StoredMetrics } from './stored-metrics.js';

/** Points of the streams of all pods that have run, now and then, and once more at the end. */
export function createMetrics(
  deps: Pick<KubernetesExecutorDeps, 'store' | 'metricsEveryMs'>,
  { launch, watch }: { readonly launch: AttemptLaunch; readonly watch: AttemptWatch },
) {
  const everyMs = deps.metricsEveryMs ?? METRICS_EVERY_MS;
  const streams = new Map<string, StoredMetrics>();
  let lookedAt = 0;
  const hasRun = ({ pods }: PodsSeen) => pods.some(({ status }) => status?.phase === 'Running');
  const isBehind = () => [...streams.values()].some((stream) => stream.isBehind);
  const streamOf = (pods: PodsSeen, podUid: string): StoredMetrics => {
    const known = streams.get(podUid);
    if (known) return known;
    const pod = pods.pods.find(({ metadata }) => metadata?.uid === podUid);
    const place = { executionId: launch.request.executionId, attemptName: launch.name, podUid };
    const made = createStoredMetrics(deps.store, place, timeOf(pod?.metadata?.creationTimestamp) ?? 0);
    streams.set(podUid, made);
    return made;
  };
  return {
    read: async (pods: PodsSeen, options: { readonly atEnd: boolean }) => {
      if (!options.atEnd && (!hasRun(pods) || (!isBehind() && performance.now() - lookedAt < everyMs)))
        return;
      lookedAt = performance.now();
      for (const podUid of pods.uids) {
        // Who takes over an attempt of days reads its streams from the beginning: news of it, and its cancel, do not wait for that.
        const points = await streamOf(pods, podUid).next(options.atEnd ? Infinity : TURN_MS);
        if (points.length > 0) watch.onMetrics(points);
      }
    },
    /** When the command of the newest pod ended, as its agent says: before its container does, which waits until everything is stored. */
    commandEndedAtMs: ({ uids }: PodsSeen) => streams.get(uids.at(-1) ?? '')?.commandEndedAtMs,
    dueInMs: (pods: PodsSeen) => (hasRun(pods) ? (isBehind() ? 0 : everyMs) : Infinity),
  };
}

const METRICS_EVERY_MS = 5_000;
/** Time that reading what has come may take before there is a look at the attempt again. */
const TURN_MS = 1_000;
