import type { RunState } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { isOpen } from './run-state.js';
import { listRuns, type RunSummary } from './list-runs.js';
import { readPoolLoads, type PoolLoad, type PoolQueue } from './pool-load.js';

/** What goes on in a project now. */
export interface Overview {
  readonly pools: readonly PoolLoad[];
  /** There are more open runs than were asked what they do: `running` of the pools may be more. */
  readonly poolsHaveMore: boolean;
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

/**
 * One list of open runs, and a look at what they and the pools do ({@link readPoolLoads}): some 100 calls at most besides those for each pool, so that it
 * may be repeated every few seconds.
 * @throws AnnealError ServerUnreachable.
 */
export async function readOverview(deps: ClientDeps, queues: readonly PoolQueue[]): Promise<Overview> {
  const listed = await listRuns(deps, { openOnly: true, limit: RUNS_LIMIT + 1 });
  const runs = listed.filter(({ state }) => isOpen(state)).slice(0, RUNS_LIMIT);
  const { pools, more: poolsHaveMore } = await readPoolLoads(deps, queues, likeliestFirst(runs));
  const counts: { [state in RunState]?: number } = {};
  for (const { state } of runs) counts[state] = (counts[state] ?? 0) + 1;
  return {
    pools,
    poolsHaveMore,
    runs,
    counts,
    stuck: runs.filter(({ stuck }) => stuck !== undefined),
    approvals: runs.filter(({ state }) => state === 'waiting-for-approval'),
    more: listed.length > RUNS_LIMIT,
  };
}

/** Runs that may have attempts under way, those first that surely work. */
function likeliestFirst(runs: readonly RunSummary[]): string[] {
  const works = ({ state }: RunSummary) => state === 'running';
  return [...runs.filter(works), ...runs.filter((run) => !works(run) && run.state !== 'queued')].map(
    ({ runId }) => runId,
  );
}
