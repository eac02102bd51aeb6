/** A run as Temporal knows it now. */
export interface KnownRun {
  readonly runId: string;
  readonly pipeline: string;
  readonly live: boolean;
  /** Absent while it lives. */
  readonly endedAtMs?: number;
}

/** What open runs hold on to. */
export interface OpenRuns {
  readonly executionIds: ReadonlySet<string>;
  readonly runIds: ReadonlySet<string>;
  /** Attempts and listings that their histories name, as `unitOf` names them. */
  readonly units: ReadonlySet<string>;
  /** Those of the texts that were looked for which an open run mentions. */
  readonly mentioned: ReadonlySet<string>;
}

/** Where runs are known and what their histories hold: Temporal. Every method may throw `ServerUnreachable`. */
export interface RunSource {
  /** Of server and namespace together: another one knows nothing of these runs. */
  identity(): Promise<string>;
  /** Reads the histories of open runs. A run that began within the last minute may not be among them. */
  readOpen(lookFor: readonly string[], onRun?: () => void): Promise<OpenRuns>;
  /** The run of an execution id; undefined where the server has forgotten it. */
  find(executionId: string): Promise<KnownRun | undefined>;
  /** The execution id of the newest run of that id; undefined where the server has forgotten it. */
  executionOf(runId: string): Promise<string | undefined>;
  isLive(run: { readonly runId: string; readonly executionId: string }): Promise<boolean>;
  /** Keys of the large payloads that any history, open or closed, or a schedule refers to. */
  payloadReferences(onHistory?: () => void): Promise<ReadonlySet<string>>;
}
