import { workflowInfo } from '@temporalio/workflow';
import type { RunSnapshot } from '../core/activities.js';
import type { ApprovalDecision, RecordedDecision, RefusedDecision } from '../core/approval.js';
import type { GateRecord } from '../core/gate-record.js';
import type { Journal } from '../core/journal.js';
import type { CallStatus, RunStatus } from '../core/run.js';
import type { CarriedControls, RetrySeed } from '../core/run-control.js';
import type { CarriedBudget } from './run-budget.js';
import type { TakenCommand } from '../core/step-command.js';

/** Events of history from which no new attempt starts, so that the run can continue as new; Temporal ends a run at 51,200. */
const HARD_LIMIT_EVENTS = 40_000;
/** The same for its size; Temporal ends a run at 50 MiB. */
const HARD_LIMIT_BYTES = 40 * 1024 * 1024;

/** What a run hands to its next execution; the second argument of its workflow, which only Anneal passes. */
export interface Continuation {
  readonly journal: Journal;
  readonly snapshot: RunSnapshot;
  readonly tracking?: RunStatus['tracking'];
  readonly startedAtMs: number;
  readonly continuations: number;
  readonly calls: readonly CallStatus[];
  readonly counts: RunStatus['counts'];
  readonly cost?: number;
  readonly poolCosts?: { readonly [pool: string]: number };
  readonly budget?: CarriedBudget;
  readonly decisions: CarriedDecisions;
  readonly tags: readonly string[];
  readonly controls: CarriedControls;
  readonly commands?: readonly TakenCommand[];
  readonly seed?: RetrySeed;
}

/** What a run hands of its decisions to its next execution. */
export interface CarriedDecisions {
  /** Those that came before their gate opened. */
  readonly early: readonly ApprovalDecision[];
  /** Those that counted, for the audit. */
  readonly recorded: readonly RecordedDecision[];
  readonly refused: readonly RefusedDecision[];
  /** What became of the gates that have opened; absent where an older build began the run. */
  readonly gates?: readonly GateRecord[];
}

/** How a run begins that takes up another one's work; the second argument of its workflow, made by the client. */
export interface RetryStart {
  readonly seed: RetrySeed;
}

/** Whether the run should continue as new at the next moment with no attempt in flight. */
export function wantsToContinue(snapshot: RunSnapshot): boolean {
  const info = workflowInfo();
  return snapshot.continueAfterEvents === undefined
    ? info.continueAsNewSuggested
    : info.historyLength >= snapshot.continueAfterEvents;
}

/** Whether the history is so long that no new attempt may start before the run has continued. */
export function mustContinue(snapshot: RunSnapshot): boolean {
  const limit =
    snapshot.continueAfterEvents === undefined ? HARD_LIMIT_EVENTS : snapshot.continueAfterEvents * 4;
  const { historyLength, historySize } = workflowInfo();
  return historyLength >= limit || historySize >= HARD_LIMIT_BYTES;
}

/**
 * Time that one workflow task may take: the first of an execution runs the function again from its whole journal, at a millisecond
 * an answer on a busy machine. Temporal's default is 10 s, its largest 2 minutes; a worker lost meanwhile is noticed that much later.
 */
export function replayTimeoutMs(entries: number): number {
  return Math.min(10_000 + entries * 5, 120_000);
}
