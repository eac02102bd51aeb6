import { AnnealError } from '../core/failures.js';
import {
  PAUSE_RUN,
  RESUME_RUN,
  SET_STEP,
  type ControlRequest,
  type StepChange,
  type StepSettings,
} from '../core/run-control.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { describeRun } from './describe-run.js';
import { classifyTemporalError, translateTemporalError } from './temporal-errors.js';

/** Lets a run start nothing new; what runs goes on to its end. @throws AnnealError InvalidInput for a run that has ended, WorkerUnavailable. */
export async function pauseRun(deps: ClientDeps, runId: string, request: ControlRequest): Promise<string> {
  return await updateRun<string>(deps, runId, { name: PAUSE_RUN, argument: request });
}

/** Lets a paused run go on. @throws AnnealError InvalidInput for a run that has ended, WorkerUnavailable. */
export async function resumeRun(deps: ClientDeps, runId: string, request: ControlRequest): Promise<string> {
  return await updateRun<string>(deps, runId, { name: RESUME_RUN, argument: request });
}

/**
 * Sets time limit, memory or pool of a step for its attempts that start from now on; one that runs keeps what it has.
 * @returns all that is set for the step.
 * @throws AnnealError InvalidInput for a value that cannot be, or a run that has ended; WorkerUnavailable.
 */
export async function setStep(deps: ClientDeps, runId: string, change: StepChange): Promise<StepSettings> {
  return await updateRun<StepSettings>(deps, runId, { name: SET_STEP, argument: change });
}

interface RunUpdate {
  readonly name: string;
  readonly argument: object;
  /** The same update sent again has the same. */
  readonly updateId?: string;
  readonly timeoutMs?: number;
}

/** An update of a run, its failures in words. */
export async function updateRun<T>(
  deps: ClientDeps,
  runId: string,
  { name, argument, updateId, timeoutMs = CALL_TIMEOUT_MS }: RunUpdate,
): Promise<T> {
  await describeRun(deps, runId);
  try {
    return await deps.temporal.withDeadline(deps.clock.nowMs() + timeoutMs, () =>
      deps.temporal.workflow.getHandle(runId).executeUpdate<T, [object]>(name, {
        args: [argument],
        ...(updateId === undefined ? {} : { updateId }),
      }),
    );
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowUpdateFailedError') {
      const reason = error.cause instanceof Error ? error.cause.message : error.message;
      throw new AnnealError('InvalidInput', `Run "${runId}" refuses "${name}": ${reason}`, { cause: error });
    }
    const kind = classifyTemporalError(error);
    if (kind === 'no-answer' || kind === 'cancelled')
      throw new AnnealError(
        'WorkerUnavailable',
        `No worker of project "${deps.project}" confirmed "${name}" for run "${runId}" within ${timeoutMs / 1_000} s. Start one with "anneal up" and repeat the command.`,
        { cause: error },
      );
    const ended = await describeRun(deps, runId);
    if (ended.closeTime !== undefined)
      throw new AnnealError(
        'InvalidInput',
        `Run "${runId}" ended at ${ended.closeTime.toISOString()}; there is nothing left to steer. Take up its work with: anneal retry ${runId}`,
        { cause: error },
      );
    throw translateTemporalError(error, `run "${runId}"`);
  }
}
