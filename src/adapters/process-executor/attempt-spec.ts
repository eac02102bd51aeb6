import type { AttemptOutcome, AttemptRequest } from '../../core/attempt.js';
import type { S3Settings } from '../../core/store-location.js';
import type { AttemptProgress } from '../../activities/ports/executor.js';
import type { ProcessIdentity } from '../process-identity.js';

/** What a supervisor reads before it does anything. Holds no secret: those come in the supervisor's environment. */
export interface AttemptSpec {
  readonly version: 1;
  readonly name: string;
  readonly runId: string;
  readonly request: AttemptRequest;
  /** Environment beside the step's own. */
  readonly environment: { readonly [name: string]: string };
  /** `rootUri` of the artifact store. */
  readonly storeUri: string;
  readonly s3?: S3Settings;
  /** How inputs that are not in the store are read; absent: there are none. */
  readonly data?: { readonly allowHosts: readonly string[]; readonly s3: S3Settings };
  /** Folder whose contents land in the working directory. */
  readonly codeDir: string;
  /** The `bin` folder of the step's Python environment. */
  readonly pythonBin?: string;
  readonly gpu: { readonly count: number; readonly devices: readonly string[]; readonly leasesDir: string };
  readonly preparedAtMs: number;
  /** The command is ended when nobody has touched `claimed` for so long. */
  readonly unclaimedMs: number;
  /** An entry that is not renamed from `*.tmp` is whole when unchanged for so long. */
  readonly checkpointSettleMs: number;
}

/** What the supervisor is doing. */
export type AttemptStatus = Pick<AttemptProgress, 'phase' | 'sinceMs'>;

/** The command as it runs: leader of its own process group. */
export interface CommandRecord {
  readonly identity: ProcessIdentity;
  /** When the machine started, by its clock: no process of an earlier start is alive. */
  readonly bootedAtMs: number;
  readonly startedAtMs: number;
}

/** Somebody wants the attempt to end. */
export interface StopRequest {
  readonly graceMs: number;
}

/** Who ended an attempt on purpose. */
export type StoppedBy = 'request' | 'signal' | 'unclaimed';

/** How an attempt ended, as its supervisor saw it. */
export interface AttemptResult {
  readonly outcome: AttemptOutcome;
  /** Set when the attempt was ended on purpose; the outcome then says `AttemptKilled` or `AttemptLost`. */
  readonly stopped?: StoppedBy;
}
