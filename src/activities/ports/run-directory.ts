import type { Journal } from '../../core/journal.js';
import type { RunState, RunStatus } from '../../core/run.js';

/** The end of a run as the server knows it. */
export interface EndedRun {
  readonly runId: string;
  readonly executionId: string;
  /** Run id of the last execution. */
  readonly epoch: string;
  readonly pipeline: string;
  readonly state: RunState;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** A run on whose history workers fail. */
export interface StuckRun extends Omit<EndedRun, 'state' | 'endedAtMs'> {
  /** One sentence. */
  readonly why: string;
}

/** What an ended run can still say. */
export interface RunAnswer {
  readonly status: RunStatus;
  readonly journal?: Journal;
}

/** The runs of a project as its Temporal server knows them. */
export interface RunDirectory {
  /**
   * Runs that ended since then in another way than by completing, each once: executions that were followed by another of the same run
   * (continue-as-new, reset) are no ends.
   */
  listEnded(sinceMs: number): AsyncIterable<EndedRun>;
  /** The same of one pipeline, and those that completed. */
  listEnds(pipeline: string, sinceMs: number): AsyncIterable<EndedRun>;
  /** What the code of an ended run says of it, and what a retry can take over; `undefined` where no worker can tell. */
  ask(run: EndedRun): Promise<RunAnswer | undefined>;
  /** Why somebody terminated it, in their words. */
  readReason(run: EndedRun): Promise<string | undefined>;
  listStuck(): Promise<readonly StuckRun[]>;
  /** Whether the last run of the pipeline that has ended failed, timed out or was terminated; cancelled ones say nothing. */
  lastFailed(pipeline: string): Promise<boolean>;
}
