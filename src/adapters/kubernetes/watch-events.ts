import { isDeepStrictEqual } from 'node:util';
import type { CoreV1Event, V1Job } from '@kubernetes/client-node';
import type { KueueWorkload } from './diagnosis/kueue-workload.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { FOREIGN_LABELS } from './labels.js';
import type { PodsSeen } from './pods-seen.js';

/** An attempt that does not start is asked after more and more seldom; one that does is never asked after. */
const EVENTS_AFTER_MS = [10_000, 30_000, 90_000];
const EVENTS_EVERY_MS = 300_000;

/** Events of a Job without a pod, and of a pod whose containers do not start; of a Job in a queue also what Kueue says. */
export function createEvents({ api, clock }: KubernetesExecutorDeps, job: V1Job) {
  let known: readonly CoreV1Event[] = [];
  let workloads: readonly KueueWorkload[] = [];
  const isQueued = job.metadata?.labels?.[FOREIGN_LABELS.kueueQueue] !== undefined;
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
    const [lists, kept] = await Promise.all([
      Promise.all(uids.map(async (involvedUid) => await api.listEvents({ involvedUid }))),
      isQueued ? api.listWorkloads({ jobUid: job.metadata?.uid ?? '' }) : [],
    ]);
    known = lists.flat();
    workloads = kept;
  };
  return {
    get known() {
      return known;
    },
    get workloads() {
      return workloads;
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
      const before = [known.length, workloads];
      await ask(pods).catch(() => undefined);
      return !isDeepStrictEqual(before, [known.length, workloads]);
    },
  };
}
