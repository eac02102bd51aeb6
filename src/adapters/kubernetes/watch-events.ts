import type { CoreV1Event, V1Job } from '@kubernetes/client-node';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import type { PodsSeen } from './pods-seen.js';

/** An attempt that does not start is asked after more and more seldom; one that does is never asked after. */
const EVENTS_AFTER_MS = [10_000, 30_000, 90_000];
const EVENTS_EVERY_MS = 300_000;

/** Events of a Job without a pod, and of a pod whose containers do not start. */
export function createEvents({ api, clock }: KubernetesExecutorDeps, job: V1Job) {
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
