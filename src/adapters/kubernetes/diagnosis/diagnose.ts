import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { CONTAINERS, FOREIGN_LABELS } from '../labels.js';
import { diagnoseAgent } from './diagnose-agent.js';
import { diagnoseEnd, diagnoseGone } from './diagnose-end.js';
import type { Diagnosis, SeenAttempt } from './diagnosis.js';
import { diagnoseWithoutPod } from './diagnose-without-pod.js';
import { diagnoseWaiting } from './diagnose-waiting.js';
import {
  containerStatus,
  hasMainEnded,
  isFinished,
  isHeld,
  isNodeAway,
  isSuspended,
  isTerminal,
  timeOf,
} from './pod-facts.js';

/**
 * What an attempt is doing, or how it ended, from what Kubernetes shows. The newest pod counts; one that Kueue took away while its Job
 * lives is followed by another. What the store knows of the attempt goes before all of this.
 */
export function diagnose(seen: SeenAttempt): Diagnosis {
  const { job } = seen;
  const pod = seen.pods.at(-1);
  const isGone = seen.gone.has(pod?.metadata?.uid ?? '');
  if (job && isHeld(job) && (pod === undefined || isGone || isTerminal(pod)))
    return diagnoseWithoutPod(seen, job);
  if (pod === undefined) return diagnoseJob(seen);
  if (isTerminal(pod)) return ended(diagnoseEnd(pod, seen), pod);
  if (isGone) {
    // A Job whose pod was taken away and that goes on makes another one.
    if (job && !isFinished(job) && wasReplaced(job)) return diagnoseWithoutPod(seen, job);
    return ended(diagnoseGone(pod), pod);
  }
  return diagnosePod(seen, pod);
}

function diagnoseJob(seen: SeenAttempt): Diagnosis {
  const { job } = seen;
  if (job === undefined)
    return ended({ code: 'PodDeleted', message: 'Its Job was deleted, and not by Anneal.' });
  return isFinished(job) ? ended(diagnoseGone(undefined)) : diagnoseWithoutPod(seen, job);
}

/** A pod that is there and has not ended. */
function diagnosePod(seen: SeenAttempt, pod: V1Pod): Diagnosis {
  const leaving = timeOf(pod.metadata?.deletionTimestamp);
  if (leaving !== undefined) return diagnoseLeaving(seen, pod, leaving);
  const { terminated, running } = containerStatus(pod, CONTAINERS.main)?.state ?? {};
  if (terminated) {
    const sinceMs = timeOf(terminated.finishedAt) ?? seen.nowMs;
    // Its sidecar is being ended; a node that is lost just now reports nothing more.
    const limit = { atMs: sinceMs + ENDING_MS, failure: diagnoseEnd(pod, seen) };
    return { state: 'active', phase: 'uploading', sinceMs, mainEnded: true, limit };
  }
  if (running === undefined) return diagnoseWaiting(seen, pod);
  return {
    state: 'active',
    phase: 'running',
    sinceMs: timeOf(running.startedAt) ?? seen.nowMs,
    mainEnded: false,
    ...(isNodeAway(pod)
      ? { detail: `its node ${pod.spec?.nodeName ?? ''} has stopped answering` }
      : diagnoseAgent(pod, seen.nowMs)),
  };
}

/** A pod whose step has ended ends soon after: the agent has its grace. */
const ENDING_MS = 180_000;

function ended(failure: Extract<Diagnosis, { state: 'ended' }>['failure'], pod?: V1Pod): Diagnosis {
  const { running, terminated } = (pod && containerStatus(pod, CONTAINERS.main)?.state) ?? {};
  const startedAtMs = timeOf(terminated?.startedAt ?? running?.startedAt);
  const endedAtMs = timeOf(terminated?.finishedAt);
  return {
    state: 'ended',
    failure,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(endedAtMs === undefined ? {} : { endedAtMs }),
  };
}

/** With a back-off limit of 0 only pods that did not count as failed are followed by another. */
function wasReplaced(job: V1Job): boolean {
  return (job.status?.failed ?? 0) === 0 && (job.status?.active ?? 0) > 0;
}

/** A pod that is being deleted, by whomever: what the cluster says of the reason goes before "deleted". */
function diagnoseLeaving(seen: SeenAttempt, pod: V1Pod, deadlineMs: number): Diagnosis {
  const node = pod.spec?.nodeName ?? 'its node';
  const away = isNodeAway(pod);
  const main = containerStatus(pod, CONTAINERS.main)?.state?.running;
  return {
    state: 'active',
    phase: main ? 'running' : 'queued',
    sinceMs: timeOf(main?.startedAt) ?? seen.nowMs,
    detail: away ? `being deleted, and ${node} does not answer` : leavingDetail(seen),
    mainEnded: hasMainEnded(pod),
    limit: away
      ? {
          atMs: deadlineMs + LOST_MS,
          failure: { code: 'NodeLost', message: `Node ${node} stopped answering while the pod ran on it.` },
        }
      : {
          atMs: deadlineMs + STUCK_MS,
          failure: {
            code: 'NodeLost',
            message: `Its pod was to be deleted and is still there ${STUCK_MS / 60_000} minutes after its grace: node ${node} does not end it.`,
          },
        },
  };
}

function leavingDetail({ job }: SeenAttempt): string {
  if (job === undefined || !isSuspended(job)) return 'being deleted';
  const queue = job.metadata?.labels?.[FOREIGN_LABELS.kueueQueue];
  return `being ended: ${queue === undefined ? 'somebody suspended its Job' : `Kueue takes its place in queue "${queue}" from it`}`;
}

/** Beyond the grace of a deletion that a node which is away cannot carry out. */
const LOST_MS = 5_000;
const STUCK_MS = 120_000;
