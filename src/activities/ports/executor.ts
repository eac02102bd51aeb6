import type { AttemptCommand, CommandAnswer } from '../../core/step-command.js';
import type { AttemptOutcome, AttemptPhases, AttemptRequest } from '../../core/attempt.js';

/** What an executor gets beside the request; worked out in the activity. */
export interface AttemptLaunch {
  readonly request: AttemptRequest;
  /** Name of the attempt, unique over all epochs. */
  readonly name: string;
  /** Human run id (workflow id), for `ANNEAL_RUN_ID`. */
  readonly runId: string;
  /** Environment beside the step's own: MLflow's variables, TRACEPARENT. */
  readonly environment: { readonly [name: string]: string };
  /** The execution that asks: who looks for attempts that nobody waits for any more asks after it. */
  readonly owner?: { readonly namespace: string; readonly epoch: string };
}

/** Where an attempt is, for heartbeats and the status. */
export interface AttemptProgress {
  readonly phase: 'preparing' | 'queued' | 'pulling' | 'running' | 'uploading';
  readonly sinceMs: number;
  /** Why it is still in that phase, such as what a scheduler says. */
  readonly detail?: string;
  /** True when this worker found the attempt already running. */
  readonly adopted: boolean;
}

/** One point of a metrics stream. */
export interface StreamedMetric {
  readonly name: string;
  readonly value: number;
  readonly step: number;
  readonly timestampMs: number;
}

/** How the activity and the executor talk while an attempt runs. */
export interface AttemptWatch {
  /** Aborted: end the attempt, verify that it is gone, then throw the signal's reason. */
  readonly cancelled: AbortSignal;
  /** Aborted: leave the attempt running and throw the signal's reason (the worker stops). */
  readonly detached: AbortSignal;
  onProgress(progress: AttemptProgress): void;
  /** Told once, when the attempt has ended, by executors that know. */
  onPhases?(phases: AttemptPhases): void;
  /** Points appended to `ANNEAL_METRICS_STREAM`, in order, each once per watching worker. */
  onMetrics(points: readonly StreamedMetric[]): void;
}

/** How an attempt is ended, and where its end is recorded. */
export interface EndOptions {
  /** Time between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  readonly executionId: string;
}

/** An attempt that may have been launched. */
export interface AttemptIdentity {
  readonly name: string;
  readonly executionId: string;
}

/**
 * What runs attempts: `process` or `kubernetes`. One name is launched once: a second `run` with the same name adopts what runs,
 * or answers with the outcome that is already in the store.
 */
export interface AttemptExecutor {
  run(launch: AttemptLaunch, watch: AttemptWatch): Promise<AttemptOutcome>;
  /**
   * Ends whatever runs under the name and resolves when it is verified gone. Nothing there is not an error: nothing starts under the
   * name from then on.
   */
  end(name: string, options: EndOptions): Promise<void>;
  /**
   * What there is under the name, so that it is known before anything else is waited for. `running`: it was launched, and `run` adopts
   * it; the call claims it. An outcome: how it ended. `undefined`: nothing was launched, or nothing of it is left.
   * @throws the signal's reason when it is aborted while whoever knows does not answer.
   */
  find(attempt: AttemptIdentity, signal?: AbortSignal): Promise<'running' | AttemptOutcome | undefined>;
  /**
   * Hands a command to what runs under the name, and waits for its answer for a while. The same id again is the same command. Absent: this
   * executor hands over none.
   */
  command?(
    name: string,
    command: AttemptCommand,
    wait: { readonly executionId: string; readonly withinMs: number; readonly signal: AbortSignal },
  ): Promise<CommandAnswer>;
}
