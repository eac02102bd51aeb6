import { SWEEP_NOW, sweeperWorkflowId } from '../core/sweep.js';
import type { ClientDeps } from './client-deps.js';
import { describeRun } from './describe-run.js';
import { readStatus, type RunReport } from './read-status.js';
import { isOpen } from './run-state.js';
import { callTemporal, classifyTemporalError } from './temporal-errors.js';
import { waitForRun, type WatchOptions } from './watch-run.js';

/** How a cancelled run is waited for. */
export interface CancelOptions extends WatchOptions {
  /** Called when the server has taken the request; never for a run that had ended before. */
  readonly onAsked?: () => void;
}

/**
 * Asks a run to stop and waits until it has: its attempts are ended, its clean-up has run. A run that had ended before is left as it is.
 * @throws AnnealError RunNotFound, ServerUnreachable; the signal's reason.
 */
export async function cancelRun(
  deps: ClientDeps,
  runId: string,
  options: CancelOptions = {},
): Promise<RunReport> {
  await unlessEnded(deps, runId, async () => {
    await deps.temporal.workflow.getHandle(runId).cancel();
    options.onAsked?.();
  });
  return await waitForRun(deps, runId, options);
}

/**
 * Ends a run at once: no code of it runs any more, so nothing is cleaned up by it; workers end its attempts when they notice.
 * @throws AnnealError RunNotFound, ServerUnreachable.
 */
export async function terminateRun(deps: ClientDeps, runId: string, reason: string): Promise<RunReport> {
  await unlessEnded(deps, runId, async () => {
    await deps.temporal.workflow.getHandle(runId).terminate(reason);
    await askToSweep(deps);
  });
  return await readStatus(deps, runId);
}

/** The sweeper closes it everywhere; it looks by itself, too. */
async function askToSweep({ temporal, project, clock }: ClientDeps): Promise<void> {
  const sweeper = temporal.workflow.getHandle(sweeperWorkflowId(project));
  await temporal
    .withDeadline(clock.nowMs() + SWEEPER_TIMEOUT_MS, async () => await sweeper.signal(SWEEP_NOW))
    .catch(() => undefined);
}

/** Time that the signal may take. */
const SWEEPER_TIMEOUT_MS = 2_000;

/** The server says "not found" for a run that has ended as for one that never was: look before and after. */
async function unlessEnded(deps: ClientDeps, runId: string, act: () => Promise<void>): Promise<void> {
  const about = `run "${runId}"`;
  const before = await describeRun(deps, runId);
  if (before.closeTime !== undefined) return;
  try {
    await callTemporal(deps, about, act);
  } catch (error) {
    const ended =
      classifyTemporalError(error) === 'not-found' && !isOpen((await readStatus(deps, runId)).state);
    if (!ended) throw error;
  }
}
