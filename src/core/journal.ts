import type { Gate } from './approval.js';
import { digestOfText } from './digest.js';
import type { FailureCode } from './failures.js';
import type { RetryState } from './retry.js';

/** What a journal entry answers. */
export type CallKind =
  | 'step'
  | 'task'
  | 'dataset'
  | 'now'
  | 'random'
  | 'sleep'
  | 'approval'
  | 'pipeline'
  | 'model'
  | 'notify'
  | 'cancel';

/**
 * Identity of a call over re-runs of the same pipeline function: the same name with the same input for the n-th time.
 * Text form: `<kind>:<name>|<input digest, 16 hex>|<occurrence>`.
 */
export type CallKey = string;

/** Identity of a call for names outside its run: 32 hex digits. @param executionId of the run: the same over continue-as-new and reset. */
export function callIdOf(executionId: string, key: CallKey): string {
  return digestOfText(`${executionId}/${key}`).slice(0, 32);
}

/** One settled call. Short member names: a journal may hold 10,000 of them. */
export interface JournalEntry {
  /** Key. */
  readonly k: CallKey;
  /** Value it was answered with. */
  readonly v?: unknown;
  /** Failure it was answered with. */
  readonly f?: {
    readonly code: FailureCode | 'Cancelled';
    readonly message: string;
    readonly details?: unknown;
  };
  /**
   * Turn in which it was given: answers of one turn were given together, before the code reacted to any of them. What is answered at
   * once (`now`, `random`) has none.
   */
  readonly t?: number;
}

/** A call that had not settled when the run continued as new, and what is needed to take it up again. */
export interface PendingCall {
  /** Absolute deadline of a sleep. */
  readonly deadlineMs?: number;
  /** Budgets of a step between two attempts. */
  readonly retry?: RetryState;
  /** When an attempt may start, for a step between two attempts. */
  readonly notBeforeMs?: number;
  /** The call's `earlierAttempts`, with the last of this execution. */
  readonly earlierAttempts?: readonly string[];
  /** An approval that waits, as it opened. */
  readonly gate?: Gate;
  /** People were told that it waits. */
  readonly announced?: boolean;
}

/**
 * Every answer that the code of a run got, in the order in which they settled, and what was pending. Carried through
 * continue-as-new; the function is run again and answered from it, in that order.
 */
export interface Journal {
  readonly version: 1;
  readonly entries: readonly JournalEntry[];
  readonly pending: { readonly [key: CallKey]: PendingCall };
}
