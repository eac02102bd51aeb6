import { setTimeout as wait } from 'node:timers/promises';
import type { V1Job, V1ObjectMeta, V1Pod } from '@kubernetes/client-node';
import { AnnealError } from '../../core/failures.js';
import type { KubernetesApi } from './api.js';
import type { AttemptView, AttemptWatcher } from './attempt-watcher.js';
import { containerStatus, isNodeAway, isTerminal, timeOf } from './diagnosis/pod-facts.js';
import { CONTAINERS, FOREIGN_LABELS, LABELS, MANAGED_BY } from './labels.js';

/** What ending needs. */
export interface EndJobDeps {
  readonly api: Pick<KubernetesApi, 'readJob' | 'deleteJob' | 'listPods' | 'deletePod' | 'readNode'>;
  /** Tells when something is gone, so that the API is asked only now and then; absent: it is asked again and again. */
  readonly watcher?: Pick<AttemptWatcher, 'onChange' | 'view' | 'lagMs'>;
  /** Lets one request through at a time. */
  readonly throttle: () => Promise<void>;
  /** What a pod gets at most whose step has not begun. Default 10 s. */
  readonly unbegunGraceSeconds?: number;
}

/** What is ended. */
export interface MeantJob {
  readonly name: string;
  /** Time between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** No other Job of the name. */
  readonly uid?: string;
  /** Label value of the project; absent: whichever. */
  readonly project?: string;
}

/**
 * Ends the Job of a name and its pods and resolves when they are gone; a Job of the name that is not Anneal's is left alone. The pod goes first,
 * with its grace: a stop that has begun is not shortened by a later one, and a Job's own deletion gives its pods theirs. A pod whose node does not
 * answer is left to the cluster: its Job is gone, and what it still writes counts for nothing.
 * @throws AnnealError ClusterUnavailable when something is still there after the grace and a while.
 */
export async function endJob(deps: EndJobDeps, meant: MeantJob): Promise<void> {
  const graceSeconds = Math.ceil(meant.graceMs / 1_000) + 5;
  const endsAt = performance.now() + graceSeconds * 1_000 + PATIENCE_MS;
  const forced = createForcing();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
    const { job, pods } = await ask(deps, meant);
    const running = await keepRunning(deps.api, pods);
    if (job === undefined && running.length === 0) return;
    for (const pod of running) await deletePod(deps, pod, { graceSeconds, forced });
    if (job?.metadata?.uid !== undefined && job.metadata.deletionTimestamp === undefined) {
      await deps.throttle();
      await deps.api.deleteJob(meant.name, { uid: job.metadata.uid });
    }
    if (performance.now() > endsAt)
      throw new AnnealError(
        'ClusterUnavailable',
        `Job ${meant.name} is still there ${graceSeconds + PATIENCE_MS / 1_000} s after it was to end (${running.map(describePod).join(', ') || 'its pods are gone'}). Look at its node; it is tried again.`,
      );
    await untilNews(deps, meant, { pauseMs, withinMs: Math.min(SAFETY_MS, forced.dueInMs()) });
  }
}

/** Whether an object is Anneal's, and of the project. */
export function isOwn({ labels = {} }: V1ObjectMeta, project: string | undefined): boolean {
  return (
    labels[LABELS.managedBy] === MANAGED_BY && (project === undefined || labels[LABELS.project] === project)
  );
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** A watch may have missed something: even when it says nothing, the API itself is asked after so long. */
const SAFETY_MS = 15_000;
const PATIENCE_MS = 75_000;
/** After its grace a pod whose node is away will not go before that is back. */
const AWAY_MS = 5_000;
/** A watch that has been broken for longer tells nothing. */
const BROKEN_MS = 2_000;
const UNBEGUN_GRACE_SECONDS = 10;
const FORCED_AFTER_MS = 1_000;

/** What is there of what is meant, from the API itself. */
async function ask({ api, throttle }: EndJobDeps, meant: MeantJob): Promise<AttemptView> {
  await throttle();
  const [job, pods] = await Promise.all([
    api.readJob(meant.name),
    api.listPods({ labelSelector: `${FOREIGN_LABELS.jobName}=${meant.name}` }),
  ]);
  return ownOf(meant, { pods, ...(job && { job }) });
}

function ownOf({ uid, project }: MeantJob, { job, pods }: AttemptView): AttemptView {
  const isMeant = ({ metadata = {} }: V1Job) =>
    isOwn(metadata, project) && (uid === undefined || metadata.uid === uid);
  return {
    pods: pods.filter(({ metadata = {} }) => isOwn(metadata, project)),
    ...(job && isMeant(job) && { job }),
  };
}

/**
 * Once, with its grace. A pod whose step has not begun, such as one that waits for an image, gets little, and when that is over it goes without
 * asking its node, which first ends what it is doing: there is nothing to stop but Anneal's own programs, and the agent lets no step begin any more.
 */
async function deletePod(
  { api, throttle, unbegunGraceSeconds = UNBEGUN_GRACE_SECONDS }: EndJobDeps,
  pod: V1Pod,
  { graceSeconds, forced }: { readonly graceSeconds: number; readonly forced: Forcing },
): Promise<void> {
  const { name, uid = '', deletionTimestamp } = pod.metadata ?? {};
  if (name === undefined) return;
  const unbegun = hasNotBegun(pod);
  const grace = unbegun ? Math.min(graceSeconds, unbegunGraceSeconds) : graceSeconds;
  if (unbegun && forced.isDue(uid, grace)) {
    await throttle();
    await api.deletePod(name, { uid, graceSeconds: 0 });
    return;
  }
  if (!unbegun) forced.never(uid);
  if (deletionTimestamp !== undefined) return;
  await throttle();
  await api.deletePod(name, { uid, graceSeconds: grace });
}

function hasNotBegun(pod: V1Pod): boolean {
  const main = containerStatus(pod, CONTAINERS.main);
  const { running, terminated } = main?.state ?? {};
  return pod.status?.phase === 'Pending' && running === undefined && terminated === undefined;
}

interface Forcing {
  /** Whether the pod has had its grace, counted from when it was asked for first. */
  isDue(uid: string, graceSeconds: number): boolean;
  /** Its step has begun. */
  never(uid: string): void;
  dueInMs(): number;
}

function createForcing(): Forcing {
  const dueAt = new Map<string, number>();
  return {
    isDue: (uid, graceSeconds) => {
      const at = dueAt.get(uid) ?? performance.now() + graceSeconds * 1_000 + FORCED_AFTER_MS;
      dueAt.set(uid, at);
      return performance.now() >= at;
    },
    never: (uid) => void dueAt.delete(uid),
    dueInMs: () => Math.max(FIRST_PAUSE_MS, Math.min(Infinity, ...dueAt.values()) - performance.now()),
  };
}

/** Waits for `pauseMs`, and then until the watch shows nothing more, or the time is over. */
async function untilNews(
  { watcher }: EndJobDeps,
  meant: MeantJob,
  { pauseMs, withinMs }: { readonly pauseMs: number; readonly withinMs: number },
): Promise<void> {
  await wait(pauseMs);
  if (watcher === undefined || watcher.lagMs > BROKEN_MS) return;
  const isGone = () => {
    const { job, pods } = ownOf(meant, watcher.view(meant.name));
    return job === undefined && pods.every((pod) => isTerminal(pod) || isAway(pod));
  };
  if (isGone()) return;
  let stop: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
    stop = watcher.onChange(meant.name, () => {
      if (isGone()) resolve();
    });
  });
  clearTimeout(timer);
  stop();
}

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
  if (isAway(pod)) return true;
  const { nodeName } = pod.spec ?? {};
  const node = nodeName === undefined ? undefined : await api.readNode(nodeName).catch(() => undefined);
  return node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status !== 'True') ?? false;
}

/** What the node controller says on the pod itself, after its grace. */
function isAway(pod: V1Pod): boolean {
  const leaving = timeOf(pod.metadata?.deletionTimestamp);
  return leaving !== undefined && Date.now() >= leaving + AWAY_MS && isNodeAway(pod);
}

function describePod({ metadata, spec, status }: V1Pod): string {
  return `pod ${metadata?.name ?? ''}, ${status?.phase ?? 'unknown'}, on ${spec?.nodeName ?? 'no node'}`;
}
