import type { V1ContainerState, V1Job, V1Pod } from '@kubernetes/client-node';
import type { AttemptPhases } from '../../core/attempt.js';
import { conditionOf, containerStatus, timeOf } from './diagnosis/pod-facts.js';
import { CONTAINERS } from './labels.js';

/** What is known of an attempt that has ended. */
export interface EndedAttempt {
  readonly job: V1Job | undefined;
  /** Oldest first. */
  readonly pods: readonly V1Pod[];
  /** When the command of the last pod ended, as its agent says. */
  readonly commandEndedAtMs: number | undefined;
  readonly endedAtMs: number;
}

/**
 * How long an attempt was in each phase, over all its pods, from what their nodes wrote down: whoever watched, and since when, does not count. Images
 * are pulled before `fetch`, and between it and the step's own container.
 */
export function measurePhases({ job, pods, commandEndedAtMs, endedAtMs }: EndedAttempt): AttemptPhases {
  const createdMs = timeOf(job?.metadata?.creationTimestamp) ?? timeOf(pods[0]?.metadata?.creationTimestamp);
  const entered: Entered[] = [
    { phase: 'queuedMs', atMs: createdMs },
    ...pods.flatMap((pod, i) => phasesOf(pod, i === pods.length - 1 ? { commandEndedAtMs } : undefined)),
    { phase: undefined, atMs: endedAtMs },
  ];
  const spent = new Map<string, number>();
  let last: { readonly phase: Phase | undefined; readonly atMs: number } | undefined;
  for (const { phase, atMs } of entered) {
    if (atMs === undefined) continue;
    // Clocks differ, and Kubernetes' times are whole seconds.
    const at = Math.max(atMs, last?.atMs ?? atMs);
    if (last?.phase) spent.set(last.phase, (spent.get(last.phase) ?? 0) + at - last.atMs);
    last = { phase, atMs: at };
  }
  return Object.fromEntries(spent);
}

type Phase = keyof AttemptPhases;

/** A phase and when it began; without a time there was none. */
interface Entered {
  readonly phase: Phase | undefined;
  readonly atMs: number | undefined;
}

/** @param last of an attempt's last pod: how its command ended. After another one the attempt is queued again. */
function phasesOf(
  pod: V1Pod,
  last: { readonly commandEndedAtMs: number | undefined } | undefined,
): readonly Entered[] {
  const fetch = containerStatus(pod, CONTAINERS.fetch)?.state;
  const main = containerStatus(pod, CONTAINERS.main)?.state;
  const begunMs = startOf(main);
  return [
    { phase: 'pullingMs', atMs: timeOf(conditionOf(pod, 'PodScheduled')?.lastTransitionTime) },
    { phase: 'preparingMs', atMs: startOf(fetch) },
    { phase: 'pullingMs', atMs: timeOf(fetch?.terminated?.finishedAt) },
    { phase: 'runningMs', atMs: begunMs },
    { phase: 'uploadingMs', atMs: begunMs === undefined ? undefined : last?.commandEndedAtMs },
    { phase: last ? undefined : 'queuedMs', atMs: timeOf(main?.terminated?.finishedAt) },
  ];
}

function startOf(state: V1ContainerState | undefined): number | undefined {
  return timeOf(state?.running?.startedAt ?? state?.terminated?.startedAt);
}
