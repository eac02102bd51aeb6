import type { AttemptFailed } from './attempt.js';
import { parseDuration } from './duration.js';
import { failureRow } from './failures.js';
import { parseBytes, toQuantity } from './quantity.js';
import type { Resources, RetryPolicy } from './step.js';

/** Infrastructure failures in a row that are retried before the step fails. */
export const INFRASTRUCTURE_RETRIES = 5;

/** What a step has spent of its two budgets. */
export interface RetryState {
  /** The attempt to run next, from 1. */
  readonly attempt: number;
  readonly userFailures: number;
  readonly infrastructureFailuresInARow: number;
  /** Memory after escalations; absent: as the step asked. */
  readonly memory?: string;
}

/** State before the first attempt. */
export const FIRST_ATTEMPT: RetryState = { attempt: 1, userFailures: 0, infrastructureFailuresInARow: 0 };

/** What follows a failed attempt. */
export type RetryDecision =
  | { readonly action: 'retry'; readonly delayMs: number; readonly state: RetryState }
  | { readonly action: 'fail'; readonly reason: string };

/** An attempt that ran so long before it was lost does not count with earlier losses as "in a row". */
const LONG_RUN_MS = 600_000;

/**
 * Decides what follows a failed attempt. A user failure spends the step's own attempts and waits
 * `delay * backoff^(failures - 1)`, at most `maxDelay`; an infrastructure failure spends its own budget and waits
 * `min(1 s * 2^(n - 1), 2 min)`.
 */
export function decideRetry(
  policy: RetryPolicy,
  resources: Resources,
  failed: {
    readonly outcome: Pick<AttemptFailed, 'code'> & Partial<Pick<AttemptFailed, 'startedAtMs' | 'endedAtMs'>>;
    readonly state: RetryState;
  },
): RetryDecision {
  const { outcome, state } = failed;
  switch (failureRow(outcome.code).retry) {
    case 'never':
      return { action: 'fail', reason: 'the same input would fail again' };
    case 'infrastructure': {
      const ranLong = (outcome.endedAtMs ?? 0) - (outcome.startedAtMs ?? 0) >= LONG_RUN_MS;
      const inARow = (ranLong ? 0 : state.infrastructureFailuresInARow) + 1;
      if (inARow > INFRASTRUCTURE_RETRIES)
        return { action: 'fail', reason: `${inARow} infrastructure failures in a row` };
      const delayMs = Math.min(1_000 * 2 ** (inARow - 1), 120_000);
      return {
        action: 'retry',
        delayMs,
        state: { ...state, attempt: state.attempt + 1, infrastructureFailuresInARow: inARow },
      };
    }
    case 'step':
      return decideUserRetry(policy, resources, failed);
  }
}

function decideUserRetry(
  policy: RetryPolicy,
  resources: Resources,
  failed: { readonly outcome: Pick<AttemptFailed, 'code'>; readonly state: RetryState },
): RetryDecision {
  const { outcome, state } = failed;
  const next: RetryState = { ...state, attempt: state.attempt + 1, infrastructureFailuresInARow: 0 };
  if (outcome.code === 'OutOfMemory' && policy.outOfMemory) {
    const memory = escalateMemory(policy.outOfMemory, state.memory ?? resources.memory);
    if (memory !== undefined) return { action: 'retry', delayMs: 0, state: { ...next, memory } };
  }
  const failures = state.userFailures + 1;
  const allowed = policy.attempts ?? 1;
  if (failures >= allowed)
    return {
      action: 'fail',
      reason: allowed === 1 ? 'the step has no retry' : `all ${allowed} attempts failed`,
    };
  const first = parseDuration(policy.delay ?? '0s');
  const limit =
    policy.maxDelay === undefined ? Math.max(first, parseDuration('1h')) : parseDuration(policy.maxDelay);
  return {
    action: 'retry',
    delayMs: Math.min(first * (policy.backoff ?? 1) ** (failures - 1), limit),
    state: { ...next, userFailures: failures },
  };
}

/** Memory for the next attempt, or undefined when the limit is reached or no memory was asked. */
function escalateMemory(
  rule: { readonly memory: `x${number}`; readonly max: string },
  current: string | undefined,
): string | undefined {
  if (current === undefined) return undefined;
  const bytes = parseBytes(current);
  const next = toQuantity(Math.min(bytes * Number(rule.memory.slice(1)), parseBytes(rule.max)));
  return parseBytes(next) > bytes ? next : undefined;
}
