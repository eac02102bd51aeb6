import { setTimeout as wait } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import { AnnealError } from '../../core/failures.js';
import type { KubernetesApi } from './api.js';
import { conditionOf, isTerminal, timeOf } from './diagnosis/pod-facts.js';
import { FOREIGN_LABELS } from './labels.js';

/**
 * Ends the Job of a name and its pods and resolves when they are gone. The pod goes first, with its grace: a stop that has begun is not
 * shortened by a later one, and a Job's own deletion gives its pods theirs. A pod whose node does not answer is left to the cluster: its Job is
 * gone, and what it still writes counts for nothing.
 * @throws AnnealError ClusterUnavailable when something is still there after the grace and a while.
 */
export async function endJob(
  api: Pick<KubernetesApi, 'readJob' | 'deleteJob' | 'listPods' | 'deletePod' | 'readNode'>,
  name: string,
  graceMs: number,
): Promise<void> {
  const graceSeconds = Math.ceil(graceMs / 1_000) + 5;
  const deadline = performance.now() + graceSeconds * 1_000 + PATIENCE_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
    const [job, pods] = await Promise.all([
      api.readJob(name),
      api.listPods({ labelSelector: `${FOREIGN_LABELS.jobName}=${name}` }),
    ]);
    const running = await keepRunning(api, pods);
    if (job === undefined && running.length === 0) return;
    for (const { metadata } of running)
      if (metadata?.deletionTimestamp === undefined && metadata?.name !== undefined)
        await api.deletePod(metadata.name, { uid: metadata.uid ?? '', graceSeconds });
    if (job?.metadata?.uid !== undefined && job.metadata.deletionTimestamp === undefined)
      await api.deleteJob(name, { uid: job.metadata.uid });
    if (performance.now() > deadline)
      throw new AnnealError(
        'ClusterUnavailable',
        `Job ${name} is still there ${graceSeconds + PATIENCE_MS / 1_000} s after it was to end (${running.map(describePod).join(', ') || 'its pods are gone'}). Look at its node; it is tried again.`,
      );
    await wait(pauseMs);
  }
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;
/** A node that is in the middle of pulling an image for a pod ends that first. */
const PATIENCE_MS = 75_000;
/** After its grace a pod whose node is away will not go before that is back. */
const AWAY_MS = 5_000;

async function keepRunning(api: Pick<KubernetesApi, 'readNode'>, pods: readonly V1Pod[]): Promise<V1Pod[]> {
  const kept = await Promise.all(
    pods.map(async (pod) => !isTerminal(pod) && !(await isOutOfReach(api, pod))),
  );
  return pods.filter((_, i) => kept[i]);
}

/** Deleted, its grace over, and its node away. */
async function isOutOfReach(api: Pick<KubernetesApi, 'readNode'>, pod: V1Pod): Promise<boolean> {
  const leaving = timeOf(pod.metadata?.deletionTimestamp);
  if (leaving === undefined || Date.now() < leaving + AWAY_MS) return false;
  const ready = conditionOf(pod, 'Ready');
  if (ready?.status === 'False' && ready.reason === 'NodeNotReady') return true;
  const { nodeName } = pod.spec ?? {};
  const node = nodeName === undefined ? undefined : await api.readNode(nodeName).catch(() => undefined);
  return node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status !== 'True') ?? false;
}

function describePod({ metadata, spec, status }: V1Pod): string {
  return `pod ${metadata?.name ?? ''}, ${status?.phase ?? 'unknown'}, on ${spec?.nodeName ?? 'no node'}`;
}
