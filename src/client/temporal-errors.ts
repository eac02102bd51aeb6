import { AnnealError } from '../core/failures.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';

/** What a failed call of Temporal means. */
export type TemporalErrorKind =
  'not-found' | 'exists' | 'unreachable' | 'no-answer' | 'cancelled' | 'refused' | 'other';

/**
 * Calls the server with a time limit and translates what fails.
 * @param about what was asked for, for messages, such as `run "churn-1"`.
 * @throws AnnealError RunNotFound or ServerUnreachable; other errors as they are.
 */
export async function callTemporal<T>(deps: ClientDeps, about: string, call: () => Promise<T>): Promise<T> {
  try {
    return await deps.temporal.withDeadline(deps.clock.nowMs() + CALL_TIMEOUT_MS, call);
  } catch (error) {
    throw translateTemporalError(error, about);
  }
}

/** An error of a table where the table has one. */
export function translateTemporalError(error: unknown, about: string): unknown {
  const kind = classifyTemporalError(error);
  const message = causeMessage(error);
  switch (kind) {
    case 'not-found':
      return new AnnealError('RunNotFound', `There is no ${about}. See what there is with: anneal list`, {
        cause: error,
      });
    case 'unreachable':
    case 'no-answer':
      return new AnnealError(
        'ServerUnreachable',
        `Temporal did not answer when asked for ${about} (${message}). Start the local servers with "anneal up", or check TEMPORAL_ADDRESS with "anneal doctor".`,
        { cause: error },
      );
    case 'refused':
      return new AnnealError(
        'InvalidInput',
        `Temporal refused what was asked for ${about}: ${message}. Correct it, or check the namespace and its search attributes with "anneal doctor".`,
        { cause: error },
      );
    case 'exists':
    case 'cancelled':
    case 'other':
      return error;
  }
}

/** Reads an error by names and gRPC status codes, never by class: more than one copy of the SDK may be installed. */
export function classifyTemporalError(error: unknown): TemporalErrorKind {
  for (const one of causes(error)) {
    const byName = NAMES[one.name];
    if (byName !== undefined) return byName;
    const byCode = 'code' in one && typeof one.code === 'number' ? CODES[one.code] : undefined;
    if (byCode !== undefined) return byCode;
  }
  return 'other';
}

const NAMES: { readonly [name: string]: TemporalErrorKind } = {
  WorkflowNotFoundError: 'not-found',
  ScheduleNotFoundError: 'not-found',
  WorkflowExecutionAlreadyStartedError: 'exists',
  ScheduleAlreadyRunning: 'exists',
  WorkflowUpdateRPCTimeoutOrCancelledError: 'no-answer',
};

/** gRPC status codes. */
const CODES: { readonly [code: number]: TemporalErrorKind } = {
  1: 'cancelled',
  3: 'refused',
  4: 'no-answer',
  5: 'not-found',
  6: 'exists',
  7: 'refused',
  14: 'unreachable',
  16: 'refused',
};

function* causes(error: unknown): Generator<Error> {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth += 1) yield one;
}

function causeMessage(error: unknown): string {
  const all = [...causes(error)];
  const deepest = all.at(-1);
  const details = deepest && 'details' in deepest ? deepest.details : undefined;
  const text = typeof details === 'string' && details !== '' ? details : (deepest?.message ?? String(error));
  return text.replace(/\s+/g, ' ').replace(/\.$/, '').slice(0, 300);
}
