import type { WorkflowExecutionDescription } from '@temporalio/client';
import { storeKeys } from '../core/artifact-store.js';
import { STATUS_QUERY, type RunStatus } from '../core/run.js';
import { withPhases } from './attempt-phases.js';
import type { ClientDeps } from './client-deps.js';
import { isOpen, readRunState, readStuck } from './run-state.js';
import { describeRun } from './describe-run.js';
import { findUnservedPool } from './find-unserved-pool.js';
import { rebuildStatus } from './rebuild-status.js';

/** A run's status, and what stands in the way of a better one. */
export interface RunReport extends RunStatus {
  /** One sentence when the run itself could not be asked, or cannot go on as it is. */
  readonly notice?: string;
}

/** Time that a live run has to answer. */
const QUERY_TIMEOUT_MS = 5_000;

/**
 * Everything known of a run. A live run is asked; of an ended one the record in the store is read, or where there is none (it was
 * terminated, or timed out) the status is rebuilt from its history. How it ended is the server's word.
 * @throws AnnealError RunNotFound, ServerUnreachable.
 */
export async function readStatus(deps: ClientDeps, runId: string): Promise<RunReport> {
  const description = await describeRun(deps, runId);
  const known = statusOfDescription(deps, description);
  if (description.closeTime === undefined) return await askLiveRun(deps, { description, known });
  const record = await readRecord(deps, known.executionId);
  const found = record ?? (await rebuildStatus(deps, known));
  return { ...found, state: known.state, ...endOf(known, record) };
}

/** What the server alone knows. */
function statusOfDescription(deps: ClientDeps, description: WorkflowExecutionDescription): RunStatus {
  const { raw } = description;
  return {
    runId: description.workflowId,
    executionId: raw.workflowExecutionInfo?.firstRunId ?? description.runId,
    pipeline: description.type,
    project: deps.project,
    build: '',
    state: readRunState(description),
    parameters: {},
    startedAtMs: description.startTime.getTime(),
    ...(description.closeTime === undefined ? {} : { endedAtMs: description.closeTime.getTime() }),
    calls: [],
    counts: {},
    continuations: 0,
    approvals: [],
  };
}

function endOf(known: RunStatus, record: RunStatus | undefined): Pick<RunStatus, 'endedAtMs'> {
  const endedAtMs = record?.endedAtMs ?? known.endedAtMs;
  return endedAtMs === undefined ? {} : { endedAtMs };
}

interface LiveRun {
  readonly description: WorkflowExecutionDescription;
  readonly known: RunStatus;
}

async function askLiveRun(deps: ClientDeps, { description, known }: LiveRun): Promise<RunReport> {
  const { temporal, clock } = deps;
  const stuck = readStuck(description);
  try {
    const handle = temporal.workflow.getHandle(known.runId);
    const said = await temporal.withDeadline(clock.nowMs() + QUERY_TIMEOUT_MS, () =>
      handle.query<RunStatus>(STATUS_QUERY),
    );
    // A run that knows how it ends still has its record and its MLflow run to close: whoever stopped the workers now would leave it open.
    const open: RunStatus = isOpen(said.state) ? said : { ...said, state: 'running' };
    const status = withPhases(open, description, clock.nowMs());
    const notice = stuck ?? (await findUnservedPool(deps, description));
    return notice === undefined ? status : { ...status, notice };
  } catch {
    // No worker, one that is just being started, or one that throws: whatever the reason, history has an answer.
    const rebuilt = await rebuildStatus(deps, known).catch(() => known);
    const silent = `No worker of project "${deps.project}" answers for the run, so this is what its history says. Start one with: anneal up`;
    return { ...rebuilt, notice: stuck ?? silent };
  }
}

async function readRecord(deps: ClientDeps, executionId: string): Promise<RunStatus | undefined> {
  const bytes = await deps.store?.readBytes(storeKeys.run(executionId));
  if (bytes === undefined) return undefined;
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  return isRunStatus(value) ? value : undefined;
}

function isRunStatus(value: unknown): value is RunStatus {
  return typeof value === 'object' && value !== null && 'runId' in value && 'calls' in value;
}
