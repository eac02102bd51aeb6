import type { WorkflowExecutionInfo } from '@temporalio/client';
import { STATUS_ATTRIBUTE, pipelinesTaskQueue, type RunState } from '../core/run.js';
import { RETRY_MEMO, type RetryOrigin } from '../core/run-control.js';
import type { ClientDeps } from './client-deps.js';
import { listExecutions } from './list-executions.js';
import { readOwner, readRunCost } from './listed-run.js';
import { readRunState, readStuck } from './run-state.js';

/** Which runs are listed. */
export interface ListRunsOptions {
  readonly pipeline?: string;
  readonly state?: RunState;
  /** Only runs that have not ended. */
  readonly openOnly?: boolean;
  /** Only runs that started then or later. */
  readonly startedFromMs?: number;
  /** Only runs that have ended, and within this millisecond or before. */
  readonly endedByMs?: number;
  /** Default 20. */
  readonly limit?: number;
}

/** One row of the list of runs. */
export interface RunSummary {
  readonly runId: string;
  readonly pipeline: string;
  readonly state: RunState;
  /** Why the run cannot go on, and what mends it, when the server reports that workers fail on its history. */
  readonly stuck?: string;
  /** The run whose finished work this one took up. */
  readonly retryOf?: string;
  /** Of its pipeline. */
  readonly owner?: string;
  /** On pools with a price, when its state changed last. */
  readonly cost?: number;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
}

/** Runs of the project, open ones first, then the newest. @throws AnnealError ServerUnreachable. */
export async function listRuns(deps: ClientDeps, options: ListRunsOptions = {}): Promise<RunSummary[]> {
  const limit = options.limit ?? 20;
  const query = buildListQuery(deps.project, options);
  const runs: RunSummary[] = [];
  if (limit <= 0) return runs;
  for await (const found of listExecutions(deps, 'the list of runs', {
    ...{ query, pageSize: Math.min(limit, 200) },
  })) {
    runs.push(toSummary(found));
    if (runs.length >= limit) break;
  }
  return runs;
}

function toSummary(found: WorkflowExecutionInfo): RunSummary {
  const { closeTime } = found;
  const owner = readOwner(found);
  const cost = readRunCost(found)?.total;
  const stuck = closeTime === undefined ? readStuck(found) : undefined;
  return {
    runId: found.workflowId,
    pipeline: found.type,
    state: readRunState(found),
    ...(stuck === undefined ? {} : { stuck }),
    ...retryOf(found.memo),
    ...(owner === undefined ? {} : { owner }),
    ...(cost === undefined ? {} : { cost }),
    startedAtMs: found.startTime.getTime(),
    ...(closeTime === undefined ? {} : { endedAtMs: closeTime.getTime() }),
  };
}

function retryOf(memo: { readonly [name: string]: unknown } | undefined): Pick<RunSummary, 'retryOf'> {
  const origin = memo?.[RETRY_MEMO] as RetryOrigin | undefined;
  return origin === undefined ? {} : { retryOf: origin.runId };
}

/** The visibility query. It has no ORDER BY: SQL visibility refuses one, and orders as we want. */
export function buildListQuery(project: string, options: ListRunsOptions): string {
  const { pipeline, state, openOnly, startedFromMs, endedByMs } = options;
  const terms = [`TaskQueue = ${quoted(pipelinesTaskQueue(project))}`, `ExecutionStatus != 'ContinuedAsNew'`];
  if (pipeline !== undefined) terms.push(`WorkflowType = ${quoted(pipeline)}`);
  if (state !== undefined) terms.push(STATE_QUERIES[state]);
  if (openOnly === true) terms.push(`ExecutionStatus = 'Running'`);
  if (startedFromMs !== undefined) terms.push(`StartTime >= '${new Date(startedFromMs).toISOString()}'`);
  // The server's times are finer than milliseconds.
  if (endedByMs !== undefined) terms.push(`CloseTime < '${new Date(endedByMs + 1).toISOString()}'`);
  return terms.join(' AND ');
}

const own = (state: RunState, execution: string) =>
  `${STATUS_ATTRIBUTE} = '${state}' AND ExecutionStatus = '${execution}'`;

const STATE_QUERIES: { readonly [state in RunState]: string } = {
  queued: own('queued', 'Running'),
  running: own('running', 'Running'),
  paused: own('paused', 'Running'),
  'waiting-for-approval': own('waiting-for-approval', 'Running'),
  completed: own('completed', 'Completed'),
  'not-promoted': own('not-promoted', 'Completed'),
  failed: `ExecutionStatus = 'Failed'`,
  cancelled: `ExecutionStatus = 'Canceled'`,
  terminated: `ExecutionStatus = 'Terminated'`,
  'timed-out': `ExecutionStatus = 'TimedOut'`,
};

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
