import type { AttemptFailed } from './attempt.js';
import { parseDuration } from './duration.js';
import { failureRow } from './failures.js';
import type { Pool } from './pools.js';
import { formatBytes, parseBytes, toQuantity } from './quantity.js';
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

/** A failed attempt, with what its next one must keep to. */
export interface FailedAttempt {
  readonly outcome: Pick<AttemptFailed, 'code'> & Partial<Pick<AttemptFailed, 'startedAtMs' | 'endedAtMs'>>;
  readonly state: RetryState;
  /** The pool that runs the step: no escalation asks for more memory than it offers to one attempt. */
  readonly pool?: Pick<Pool, 'name' | 'memory'>;
}

/**
 * Decides what follows a failed attempt. A user failure spends the step's own attempts and waits
 * `delay * backoff^(failures - 1)`, at most `maxDelay`; an infrastructure failure spends its own budget and waits
 * `min(1 s * 2^(n - 1), 2 min)`. With `retry.outOfMemory` an attempt that ran out of memory is followed, on no budget, by one with
 * `min(memory * factor, max, the pool's)`, until that is no more than the attempt had.
 */
export function decideRetry(policy: RetryPolicy, resources: Resources, failed: FailedAttempt): RetryDecision {
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
  { outcome, state, pool }: FailedAttempt,
): RetryDecision {
  const next: RetryState = { ...state, attempt: state.attempt + 1, infrastructureFailuresInARow: 0 };
  let why = '';
  if (outcome.code === 'OutOfMemory' && policy.outOfMemory) {
    const raised = escalateMemory(policy.outOfMemory, state.memory ?? resources.memory, pool);
    if ('memory' in raised) return { action: 'retry', delayMs: 0, state: { ...next, memory: raised.memory } };
    why = `; ${raised.limit}`;
  }
  const failures = state.userFailures + 1;
  const allowed = policy.attempts ?? 1;
  if (failures >= allowed)
    return {
      action: 'fail',
      reason: `${allowed === 1 ? 'the step has no retry' : `all ${allowed} attempts failed`}${why}`,
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

/** Memory for the next attempt, or what forbids more. */
function escalateMemory(
  rule: { readonly memory: `x${number}`; readonly max: string },
  current: string | undefined,
  pool: FailedAttempt['pool'],
): { readonly memory: string } | { readonly limit: string } {
  if (current === undefined) return { limit: 'it asks for no resources.memory that could be raised' };
  const bytes = parseBytes(current);
  const max = parseBytes(rule.max);
  const offered = pool?.memory === undefined ? Infinity : parseBytes(pool.memory);
  const memory = toQuantity(Math.min(bytes * Number(rule.memory.slice(1)), max, offered));
  if (parseBytes(memory) > bytes) return { memory };
  return {
    limit:
      pool !== undefined && offered < max
        ? `its memory (${current}) is at the most that pool "${pool.name}" offers (${formatBytes(offered)})`
        : `its memory (${current}) is at the limit of retry.outOfMemory (max ${rule.max})`,
  };
}
