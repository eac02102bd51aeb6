import type { RunState } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { isOpen } from './run-state.js';
import { listRuns, type RunSummary } from './list-runs.js';
import { callTemporal } from './temporal-errors.js';

/** A pool whose task queue is looked at. */
export interface PoolQueue {
  readonly pool: string;
  readonly taskQueue: string;
}

/** How a pool does. */
export interface PoolLoad {
  readonly pool: string;
  /** Attempts that wait for a worker with a free slot; about, as the server counts. */
  readonly queued: number;
  /** How long the first of them has waited. */
  readonly oldestWaitMs: number;
  /** Whether a worker asks for its work. */
  readonly served: boolean;
}

/** What goes on in a project now. */
export interface Overview {
  readonly pools: readonly PoolLoad[];
  /** Open runs, those that began last first. */
  readonly runs: readonly RunSummary[];
  readonly counts: { readonly [state in RunState]?: number };
  /** Runs on which workers fail again and again. */
  readonly stuck: readonly RunSummary[];
  /** Runs that wait for people. */
  readonly approvals: readonly RunSummary[];
  /** There are more open runs than were looked at. */
  readonly more: boolean;
}

const RUNS_LIMIT = 500;
const TASK_QUEUE_TYPE_ACTIVITY = 2;
/** A worker that is alive asks at least once a minute; the server remembers dead ones for five. */
const POLLER_ALIVE_MS = 75_000;

/** One list of open runs, and one look at each pool's task queue: cheap enough to be repeated. @throws AnnealError ServerUnreachable. */
export async function readOverview(deps: ClientDeps, queues: readonly PoolQueue[]): Promise<Overview> {
  const [listed, pools] = await Promise.all([
    listRuns(deps, { openOnly: true, limit: RUNS_LIMIT + 1 }),
    Promise.all(queues.map(async (queue) => await readLoad(deps, queue))),
  ]);
  const runs = listed.filter(({ state }) => isOpen(state)).slice(0, RUNS_LIMIT);
  const counts: { [state in RunState]?: number } = {};
  for (const { state } of runs) counts[state] = (counts[state] ?? 0) + 1;
  return {
    pools,
    runs,
    counts,
    stuck: runs.filter(({ stuck }) => stuck !== undefined),
    approvals: runs.filter(({ state }) => state === 'waiting-for-approval'),
    more: listed.length > RUNS_LIMIT,
  };
}

async function readLoad(deps: ClientDeps, { pool, taskQueue: name }: PoolQueue): Promise<PoolLoad> {
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
  return { pool, queued, served, oldestWaitMs: queued === 0 ? 0 : toMs(found.stats?.approximateBacklogAge) };
}

function toMs(
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined,
): number {
  return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
}
