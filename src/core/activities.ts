import type { AdmissionRequest, AdmissionTicket } from './admission.js';
import type { AttemptOutcome, AttemptRequest } from './attempt.js';
import type { FailureInfo } from './failures.js';
import type { Json } from './json.js';
import type { Pool } from './pools.js';
import type { LaneOperation, LaneRequest, LaneResult } from './registry.js';
import type { RunState, RunStatus } from './run.js';

/** Local activity at the start of a run: what the run will use, fixed for its whole life. */
export interface RunSnapshot {
  readonly project: string;
  readonly build: string;
  readonly pools: readonly Pool[];
  /** Digest of the code files of each step, by step name. */
  readonly codeDigests: { readonly [step: string]: string };
  /** Digest of each step's Python lock, by step name. */
  readonly pythonDigests: { readonly [step: string]: string };
  /** Base of Temporal's Web UI for links, without slash at the end. */
  readonly temporalUiUrl?: string;
  readonly trackingUiUrl?: string;
  readonly tracked: boolean;
  /** The run neither looks up nor stores cached results. */
  readonly noCache?: boolean;
  /** Events of history after which the run looks for a moment to continue as new; absent: the server's suggestion. Tests and benchmarks lower it. */
  readonly continueAfterEvents?: number;
}

/** Run by the pipelines worker itself. */
export interface PipelineActivities {
  snapshotRun(input: { readonly pipeline: string }): Promise<RunSnapshot>;
  runTask(input: { readonly task: string; readonly input: Json }): Promise<Json>;
  /** Look-up of a cached result; `undefined` is a miss. */
  lookUpCache(input: { readonly key: string; readonly ttlMs?: number }): Promise<CacheEntry | null>;
}

/** A finished step that a later call with the same key may reuse. */
export interface CacheEntry {
  readonly key: string;
  readonly runId: string;
  readonly attemptName: string;
  /** Execution id of the run that made it. */
  readonly executionId?: string;
  /** MLflow's run of the step that made it. */
  readonly tracking?: { readonly experimentId: string; readonly runId: string };
  readonly storedAtMs: number;
  readonly outputs: Extract<AttemptOutcome, { kind: 'succeeded' }>['outputs'];
  readonly parameters: Extract<AttemptOutcome, { kind: 'succeeded' }>['parameters'];
}

/** Run by the workers of a pool, on the pool's task queue. One stable, additive contract for all builds. */
export interface PoolActivities {
  /**
   * Launches or adopts the attempt, watches it to its end and answers with its outcome. A retry by Temporal means "the worker was
   * lost": it adopts. `cacheKey`: write a cache entry once the outputs are safe.
   */
  executeAttempt(request: AttemptRequest, cacheKey?: string): Promise<AttemptOutcome>;
  /** Ends whatever is left of an attempt that gave no outcome and verifies that it is gone. Idempotent. */
  endAttempt(
    request: Pick<
      AttemptRequest,
      'project' | 'step' | 'index' | 'attempt' | 'pool' | 'executionId' | 'callId' | 'stopGraceMs'
    >,
  ): Promise<void>;
}

/** Run by the system workers of a project. */
export interface SystemActivities {
  /** Makes the run's MLflow parent run (searched for before it is created). */
  openTracking(input: {
    readonly pipeline: string;
    readonly executionId: string;
    readonly parameters: { readonly [name: string]: Json };
    readonly tags: readonly string[];
    readonly owner?: string;
    readonly build: string;
  }): Promise<{ readonly experimentId: string; readonly parentRunId: string }>;
  /** Closes the parent run and leftovers below it, and writes the run's record to the store. */
  closeRun(input: { readonly status: RunStatus; readonly state: RunState }): Promise<void>;
  notify(input: Notification): Promise<void>;
  /** Signal-with-start of the model's lane. */
  submitToLane(input: LaneRequest): Promise<void>;
  /** Signal-with-start of the pipeline's admission. */
  submitToAdmission(input: AdmissionRequest): Promise<void>;
  /** Execution ids of those runs that are closed. */
  findClosedRuns(tickets: readonly AdmissionTicket[]): Promise<readonly string[]>;
  /** Carries out one operation on the registry, idempotently. Called by the lane alone. */
  runLaneOperation(input: {
    readonly modelName: string;
    readonly operation: LaneOperation;
  }): Promise<LaneResult>;
  /** The version behind an alias with its metrics, or null. */
  readChampion(input: { readonly modelName: string; readonly alias: string }): Promise<ChampionInfo | null>;
}

/** A registered version as gates compare against it. */
export interface ChampionInfo {
  readonly version: string;
  readonly metrics: { readonly [name: string]: number };
  readonly digest?: string;
}

/** A message to people. */
export interface Notification {
  /** Same id: the same message, sent once as far as the channel allows. */
  readonly id: string;
  readonly event: 'failure' | 'not-promoted' | 'message';
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly runId: string;
  readonly executionId: string;
  readonly failure?: FailureInfo;
}
