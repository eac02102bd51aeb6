import type { ClientDeps } from './client-deps.js';
import { readBeat } from './attempt-phases.js';
import { eachOf } from './retention/each-of.js';
import { callTemporal, classifyTemporalError } from './temporal-errors.js';

/** A pool whose task queue is looked at. */
export interface PoolQueue {
  readonly pool: string;
  readonly taskQueue: string;
}

/** How a pool does: one on Kubernetes, or one of processes on one machine. */
export interface PoolLoad {
  readonly pool: string;
  /** The machine of a process pool, where it is not the one that asks. */
  readonly host?: string;
  /** Attempts that a worker has taken up, on whatever machine, of the runs that were looked at. */
  readonly running: number;
  /** Among them those that wait for a GPU of their machine, or on Kubernetes for quota, a GPU or a node; as of the last heartbeat. */
  readonly waiting: number;
  /** Attempts that wait for a worker with a free slot; about, as the server counts. */
  readonly queued: number;
  /** How long the first of them has waited. */
  readonly oldestWaitMs: number;
  /** Whether a worker asks for its work. */
  readonly served: boolean;
}

/** What is known of the pools. */
export interface PoolLoads {
  /** Those that were asked for, then those of other machines on which attempts of the runs are. */
  readonly pools: readonly PoolLoad[];
  /** There are more runs, or more machines, than were looked at: `running` may be more. */
  readonly more: boolean;
}

/** Runs that are described in one look. */
export const RUNS_DESCRIBED = 100;
/** Queues of other machines that are described in one look. */
const OTHER_QUEUES = 20;
const CALLS_AT_ONCE = 10;
const EXECUTE_ATTEMPT = 'executeAttempt';
/** Numbers of Temporal's API. */
const TASK_QUEUE_TYPE_ACTIVITY = 2;
const STARTED = 2;
const CANCEL_REQUESTED = 3;
/** A worker that is alive asks at least once a minute; the server remembers dead ones for five. */
const POLLER_ALIVE_MS = 75_000;

/**
 * How pools do, from what the server knows of the runs' activities: no worker is asked. One call for each run up to {@link RUNS_DESCRIBED}, for each
 * of `queues`, and for each queue of another machine up to 20; 10 at a time.
 * @throws AnnealError ServerUnreachable.
 */
export async function readPoolLoads(
  deps: ClientDeps,
  queues: readonly PoolQueue[],
  runIds: readonly string[],
): Promise<PoolLoads> {
  const described = runIds.slice(0, RUNS_DESCRIBED);
  const taken = new Map<string, Taken>();
  await eachOf(described, CALLS_AT_ONCE, async (runId) => {
    for (const { queue, starts, waits } of await readAttempts(deps, runId)) {
      const { running, waiting } = taken.get(queue) ?? { running: 0, waiting: 0 };
      taken.set(queue, { running: running + (starts ? 1 : 0), waiting: waiting + (waits ? 1 : 0) });
    }
  });
  const asked = new Set(queues.map(({ taskQueue }) => taskQueue));
  const others = [...taken.keys()].filter((queue) => !asked.has(queue)).toSorted();
  const pools: PoolLoad[] = [];
  const all = [...queues, ...others.slice(0, OTHER_QUEUES).map((queue) => readQueue(deps.project, queue))];
  await eachOf([...all.entries()], CALLS_AT_ONCE, async ([at, queue]) => {
    pools[at] = { ...(await readLoad(deps, queue)), ...(taken.get(queue.taskQueue) ?? NONE) };
  });
  return { pools, more: described.length < runIds.length || others.length > OTHER_QUEUES };
}

type Taken = Pick<PoolLoad, 'running' | 'waiting'>;
const NONE: Taken = { running: 0, waiting: 0 };

/** What an activity of a run is doing. */
interface OpenAttempt {
  readonly queue: string;
  /** A worker has taken it up. */
  readonly starts: boolean;
  readonly waits: boolean;
}

async function readAttempts(deps: ClientDeps, workflowId: string): Promise<OpenAttempt[]> {
  const { temporal } = deps;
  try {
    const raw = await callTemporal(deps, `run "${workflowId}"`, () =>
      temporal.workflowService.describeWorkflowExecution({
        namespace: temporal.options.namespace,
        execution: { workflowId },
      }),
    );
    return (raw.pendingActivities ?? []).flatMap((activity) => {
      const queue = activity.activityOptions?.taskQueue?.name;
      if (activity.activityType?.name !== EXECUTE_ATTEMPT || typeof queue !== 'string') return [];
      // One that is cancelled goes on until the attempt is gone; of an activity that waits to be taken up again the last start is kept.
      const starts =
        activity.state === STARTED ||
        (activity.state === CANCEL_REQUESTED && Boolean(activity.lastStartedTime));
      const [beat] = readBeat(activity);
      return [{ queue, starts, waits: starts && beat?.phase === 'queued' }];
    });
  } catch (error) {
    // It has ended and is forgotten since it was listed.
    if (classifyTemporalError(error) === 'not-found') return [];
    throw error;
  }
}

async function readLoad(
  deps: ClientDeps,
  { pool, host, taskQueue: name }: PoolQueue & { readonly host?: string },
): Promise<Omit<PoolLoad, keyof Taken>> {
  const { temporal, clock } = deps;
  const found = await callTemporal(deps, `pool "${pool}"`, () =>
    temporal.workflowService.describeTaskQueue({
      namespace: temporal.options.namespace,
      taskQueue: { name },
      taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
      reportStats: true,
    }),
  );
  const queued = Number(found.stats?.approximateBacklogCount ?? 0);
  const served = (found.pollers ?? []).some(
    ({ lastAccessTime }) => clock.nowMs() - toMs(lastAccessTime) < POLLER_ALIVE_MS,
  );
  const oldestWaitMs = queued === 0 ? 0 : toMs(found.stats?.approximateBacklogAge);
  return { pool, ...(host === undefined ? {} : { host }), queued, served, oldestWaitMs };
}

/** A pool's queue is `<project>/<pool>`, that of a process pool `<project>/<pool>@<host>`. */
function readQueue(project: string, taskQueue: string): PoolQueue & { readonly host?: string } {
  const name = taskQueue.startsWith(`${project}/`) ? taskQueue.slice(project.length + 1) : taskQueue;
  const at = name.indexOf('@');
  if (at === -1) return { pool: name, taskQueue };
  return { pool: name.slice(0, at), host: name.slice(at + 1), taskQueue };
}

function toMs(
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined,
): number {
  return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
}
