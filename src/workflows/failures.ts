import {
  ApplicationFailure,
  CancelledFailure,
  DeterminismViolationError,
  TemporalFailure,
  isCancellation,
} from '@temporalio/workflow';
import { isFailureCode, type FailureCode, type FailureInfo } from '../core/failures.js';
import type { JournalEntry } from '../core/journal.js';

/** A failure of the table as Temporal carries it: its type is the code. */
export function toFailure(code: FailureCode, message: string, details?: unknown): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message,
    nonRetryable: true,
    ...(details === undefined ? {} : { details: [details] }),
  });
}

/** The code and sentence of whatever was thrown; follows causes to the first that has a code. */
export function readFailure(error: unknown): FailureInfo {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const type = 'type' in at && typeof at.type === 'string' ? at.type : undefined;
    if (isFailureCode(type)) return { code: type, message: at.message };
  }
  if (error instanceof TemporalFailure) return { code: 'Unknown', message: deepestMessage(error) };
  return {
    code: 'PipelineError',
    message:
      error instanceof Error
        ? `${error.name === 'Error' ? '' : `${error.name}: `}${error.message}`
        : String(error),
  };
}

/** What the run fails with: failures and cancellation as they are, any other error by its code, or as `PipelineError`, so that it fails the run instead of stalling it. */
export function toRunFailure(error: unknown): Error {
  if (error instanceof TemporalFailure || error instanceof DeterminismViolationError) return error;
  const { code, message } = readFailure(error);
  const failure = toFailure(code, message);
  if (error instanceof Error && error.stack !== undefined) failure.stack = error.stack;
  return failure;
}

/** A thrown error as a journal keeps it. */
export function toJournalFailure(error: unknown): Required<Pick<JournalEntry, 'f'>>['f'] {
  if (isCancellation(error)) return { code: 'Cancelled', message: 'cancelled' };
  return readFailure(error);
}

/** A recorded failure as it is thrown again. */
export function fromJournalFailure(failure: Required<Pick<JournalEntry, 'f'>>['f']): Error {
  return failure.code === 'Cancelled'
    ? new CancelledFailure(failure.message)
    : toFailure(failure.code, failure.message);
}

function deepestMessage(error: Error): string {
  return error.cause instanceof Error ? deepestMessage(error.cause) : error.message;
}
