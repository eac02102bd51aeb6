/** What an activity knows about the call that it answers; read from Temporal by the worker, made up by tests. */
export interface ActivityContext {
  readonly namespace: string;
  /** Id of the workflow that asks: the run id for people. */
  readonly workflowId: string;
  /** Run id of the workflow execution that asks. */
  readonly epoch: string;
  /** 1 for the first try of this call by a worker; a later one may have predecessors that are still alive. Default 1. */
  readonly attempt?: number;
  /** Aborted when the activity is cancelled or its worker stops. */
  readonly signal: AbortSignal;
  readonly heartbeat: (details?: unknown) => void;
}

/** Time, so that tests need not wait. */
export interface Clock {
  readonly nowMs: () => number;
  /** Rejects with the signal's reason when that aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}
