import type { FailureCode } from './failures.js';
import type { Json } from './json.js';

/** Workflow type of {@link backfillWorkflowId}. */
export const BACKFILL_WORKFLOW = 'anneal.backfill';
/** Updates of it. */
export const BACKFILL_ADD = 'add';
export const BACKFILL_PAUSE = 'pause';
export const BACKFILL_RESUME = 'resume';
export const BACKFILL_CANCEL = 'cancel';
export const BACKFILL_RETRY = 'retryFailed';
/** Query that answers {@link BackfillProgress}. */
export const BACKFILL_PROGRESS = 'progress';

/** Runs at once where nothing is said. */
export const DEFAULT_CONCURRENCY = 4;
/** Each one that is under way is watched. */
export const MOST_CONCURRENCY = 200;

/** The workflow that makes the partitions of a pipeline; one at a time. */
export function backfillWorkflowId(pipeline: string): string {
  return `backfill/${pipeline}`;
}

/** Run id of a partition's first run; a further one of the same partition gets `.r2`, `.r3`, ... */
export function partitionRunId(pipeline: string, key: string, attempt = 1): string {
  return `${backfillWorkflowId(pipeline)}/${key}${attempt === 1 ? '' : `.r${attempt}`}`;
}

/** Partitions to make: argument of {@link BACKFILL_ADD}. */
export interface BackfillRange {
  readonly project: string;
  readonly keys: readonly string[];
  /** Also those that are made already by unchanged code. */
  readonly again: boolean;
  /** Parameters of the runs beside the key. */
  readonly params: { readonly [name: string]: Json };
  /** Runs at once from now on, over all ranges. */
  readonly concurrency?: number;
}

/** Keys that are asked for together, of one range. */
export type BackfillBatch = Pick<BackfillRange, 'keys' | 'again' | 'params'>;

/** A partition that is under way, or has failed. */
export interface BackfillRun {
  readonly key: string;
  readonly runId: string;
}

/** A partition whose run did not end well. */
export interface FailedPartition extends BackfillRun {
  readonly code: FailureCode;
  readonly params: BackfillRange['params'];
}

/** What a backfill begins with, and hands over to its next execution. */
export interface BackfillState {
  readonly project: string;
  readonly pipeline: string;
  /** The parameter that takes the key. */
  readonly parameter: string;
  readonly concurrency: number;
  readonly queue: readonly BackfillBatch[];
  readonly running: readonly (BackfillRun & Pick<BackfillRange, 'params'>)[];
  readonly failed: readonly FailedPartition[];
  readonly made: number;
  /** Made before by unchanged code. */
  readonly skipped: number;
  /** Not begun, or ended, because the backfill was cancelled. */
  readonly cancelled: number;
  readonly paused: boolean;
  readonly cancelling: boolean;
  readonly startedAtMs: number;
  /** Events of history after which it continues as new; absent: the server's suggestion. Tests lower it. */
  readonly continueAfterEvents?: number;
}

/** How far a backfill is: the answer of the query and of every update, and the workflow's result. */
export interface BackfillProgress {
  readonly pipeline: string;
  readonly state: 'running' | 'paused' | 'cancelling' | 'completed' | 'cancelled';
  readonly total: number;
  readonly made: number;
  readonly skipped: number;
  readonly waiting: number;
  readonly cancelled: number;
  readonly concurrency: number;
  readonly running: readonly BackfillRun[];
  readonly failed: readonly FailedPartition[];
  readonly startedAtMs: number;
}

/** What is to be done about a partition. `watch`: a run of it is open already. */
export interface PartitionPlan extends BackfillRun {
  readonly action: 'skip' | 'start' | 'watch';
}

/** How a run of a partition ended. */
export interface EndedPartition {
  readonly runId: string;
  /** Absent: well. */
  readonly code?: FailureCode | 'cancelled';
}
