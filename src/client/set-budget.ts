import type { WorkflowExecutionDescription } from '@temporalio/client';
import {
  ATTEMPT_BEGAN,
  SET_BUDGET,
  type AttemptBegan,
  type BudgetChange,
  type BudgetStatus,
} from '../core/budget.js';
import { STATUS_QUERY, type RunStatus } from '../core/run.js';
import { readBeats } from './attempt-phases.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { updateRun } from './control-run.js';
import { describeRun } from './describe-run.js';
import { isOpen } from './run-state.js';

/**
 * Sets what a run may cost, also of one that had no budget. @returns the budget with what is spent of it.
 * @throws AnnealError InvalidInput for an amount that is spent already, or a run that has ended; WorkerUnavailable.
 */
export async function setBudget(
  deps: ClientDeps,
  runId: string,
  change: BudgetChange,
): Promise<BudgetStatus> {
  const description = await describeRun(deps, runId);
  await tellWhatRuns(deps, description).catch(() => undefined);
  return await updateRun<BudgetStatus>(deps, runId, { name: SET_BUDGET, argument: change });
}

/**
 * Tells a run that had no budget since when its attempts run, which their workers say to those that have one. Where that fails, they count
 * from when they were asked for, waiting for a place included.
 */
async function tellWhatRuns(deps: ClientDeps, description: WorkflowExecutionDescription): Promise<void> {
  const began = readBegan(description, deps.clock.nowMs());
  if (description.closeTime !== undefined || began.length === 0) return;
  const { workflow } = deps.temporal;
  const handle = workflow.getHandle(description.workflowId, description.runId);
  await deps.temporal.withDeadline(deps.clock.nowMs() + CALL_TIMEOUT_MS, async () => {
    const { budget, state } = await handle.query<RunStatus>(STATUS_QUERY);
    if (budget !== undefined || !isOpen(state)) return;
    for (const attempt of began) await handle.signal<[AttemptBegan]>(ATTEMPT_BEGAN, attempt);
  });
}

/** One that waits for a place counts from now: nobody will say when its wait is over. */
function readBegan(description: Pick<WorkflowExecutionDescription, 'raw'>, nowMs: number): AttemptBegan[] {
  return readBeats(description).flatMap(({ callId, attempt, phase, sinceMs }) =>
    attempt === undefined || phase === 'uploading'
      ? []
      : [{ callId, attempt, startedAtMs: phase === 'running' ? sinceMs : nowMs }],
  );
}
