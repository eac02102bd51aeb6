/** State of a run in the tracking server. */
export type TrackedStatus = 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED';

/** A run to be made once, whoever asks and however often. */
export interface NewTrackedRun {
  readonly experimentId: string;
  /** Identity: letters, digits and `._:/-`. Two calls with the same key in one experiment get the same run. */
  readonly key: string;
  readonly name: string;
  readonly parentRunId?: string;
  readonly startedAtMs: number;
  readonly tags: { readonly [name: string]: string };
}

/** A run as the tracking server knows it. */
export interface TrackedRun {
  readonly runId: string;
  readonly experimentId: string;
  readonly status: TrackedStatus | 'SCHEDULED';
  readonly parameters: { readonly [name: string]: string };
  readonly tags: { readonly [name: string]: string };
  /** Newest point of each metric: the one with the highest step. */
  readonly latest: { readonly [metric: string]: { readonly value: number; readonly step: number } };
}

/** One point of a metric. The same point again is dropped by the server. */
export interface TrackedPoint {
  readonly name: string;
  readonly value: number;
  readonly step: number;
  readonly timestampMs: number;
}

/** What to write into a run; any part may be absent. */
export interface TrackedEntries {
  readonly runId: string;
  /** A parameter that the run has already is left as it is: tracking servers refuse another value. */
  readonly parameters?: { readonly [name: string]: string };
  readonly tags?: { readonly [name: string]: string };
  readonly points?: readonly TrackedPoint[];
}

/** A data set that went into a run. */
export interface TrackedDataset {
  readonly name: string;
  readonly digest: string;
  readonly uri: string;
  readonly context?: 'training' | 'validation' | 'testing' | 'evaluation';
  /** Columns, where they are known. */
  readonly columns?: readonly { readonly name: string; readonly type: string }[];
  readonly rows?: number;
}

/**
 * The experiment tracking server. All calls may be repeated. A server that is away is waited for, until `signal` aborts or the
 * adapter's patience ends.
 *
 * Errors: `AnnealError` with `TrackingUnavailable`, or `TrackingRefused` for what waiting does not mend.
 */
export interface Tracking {
  /** Address for the commands of steps, without credentials. */
  readonly uri: string;
  /** The id of the experiment of that name, made if need be; `tags` are set where they are missing. */
  ensureExperiment(
    experiment: { readonly name: string; readonly tags: { readonly [name: string]: string } },
    signal: AbortSignal,
  ): Promise<string>;
  /** Finds the run of that key or makes it; exactly one, also when answers get lost. */
  ensureRun(run: NewTrackedRun, signal: AbortSignal): Promise<TrackedRun>;
  getRun(runId: string, signal: AbortSignal): Promise<TrackedRun>;
  setStatus(
    change: { readonly runId: string; readonly status: TrackedStatus; readonly endedAtMs?: number },
    signal: AbortSignal,
  ): Promise<void>;
  log(entries: TrackedEntries, signal: AbortSignal): Promise<void>;
  logDatasets(
    inputs: { readonly runId: string; readonly datasets: readonly TrackedDataset[] },
    signal: AbortSignal,
  ): Promise<void>;
  /** Runs with that tag that are still RUNNING. */
  findRunning(
    search: { readonly experimentId: string; readonly tag: string; readonly value: string },
    signal: AbortSignal,
  ): Promise<readonly TrackedRun[]>;
}
