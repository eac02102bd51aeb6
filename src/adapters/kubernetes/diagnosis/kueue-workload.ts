import type { V1Condition, V1ObjectMeta } from '@kubernetes/client-node';
import { said, timeOf } from './pod-facts.js';

/** What Kueue keeps of a Job that waits in one of its queues, as far as Anneal reads it. */
export interface KueueWorkload {
  readonly metadata?: Pick<V1ObjectMeta, 'creationTimestamp'>;
  readonly spec?: { readonly active?: boolean };
  readonly status?: {
    readonly conditions?: readonly Pick<
      V1Condition,
      'type' | 'status' | 'reason' | 'message' | 'lastTransitionTime'
    >[];
  };
}

/** Why a suspended Job waits, as Kueue tells it. */
export interface KueueWait {
  /** The end of a sentence that begins with the queue's name; without it Kueue has said nothing yet. */
  readonly why?: string;
  /** Its place was taken from it, and it stands in the queue again. */
  readonly requeued: boolean;
  readonly sinceMs?: number;
  /** The queue is not there, or leads nowhere. */
  readonly misnamed: boolean;
}

/** Reads the newest Workload of a Job; the one of a Job that was changed in its place is another. */
export function readKueueWait(workloads: readonly KueueWorkload[]): KueueWait {
  const workload = workloads.toSorted((a, b) => madeMs(a) - madeMs(b)).at(-1);
  if (workload === undefined) return { requeued: false, misnamed: false };
  const { conditions = [] } = workload.status ?? {};
  const condition = (type: string) => conditions.find((one) => one.type === type);
  const evicted = condition('Evicted');
  const requeued = evicted?.status === 'True' && evicted.reason !== 'Deactivated';
  const reserved = condition('QuotaReserved');
  const pending = reserved?.status === 'False' ? said(reserved.message) : '';
  const misnamed = NOWHERE.test(pending);
  const sinceMs = timeOf((requeued ? evicted : undefined)?.lastTransitionTime);
  const taken = requeued ? said(evicted.message) : '';
  // Right after an eviction both say the same.
  const parts = [taken, pending === taken ? '' : pending].filter((part) => part !== '');
  if (workload.spec?.active === false)
    parts.unshift(
      `deactivated${evicted?.reason === 'Deactivated' ? `: ${said(evicted.message)}` : ', until somebody activates it'}`,
    );
  return {
    ...(parts.length > 0 && { why: parts.join('; ') }),
    requeued,
    ...(sinceMs !== undefined && { sinceMs }),
    misnamed,
  };
}

const NOWHERE = /^(LocalQueue|ClusterQueue) .* doesn't exist/;

function madeMs({ metadata }: KueueWorkload): number {
  return timeOf(metadata?.creationTimestamp) ?? 0;
}
