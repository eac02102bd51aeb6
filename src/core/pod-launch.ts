import type { FileEntry } from './artifacts.js';
import type { AttemptRequest } from './attempt.js';
import type { S3Settings } from './store-location.js';

/** What the pods of one attempt are to do, as it lies at `storeKeys.launch`: the first one who writes it decides. Holds no secret. */
export interface PodLaunch {
  readonly version: 1;
  /** Name of the attempt and of its Job. */
  readonly name: string;
  /** Human run id. */
  readonly runId: string;
  readonly request: AttemptRequest;
  /** Environment beside the step's own; `main` has it from the Job. */
  readonly environment: { readonly [name: string]: string };
  /** How inputs that are not in the store are read; absent: there are none. */
  readonly data?: { readonly allowHosts: readonly string[]; readonly s3: S3Settings };
  /** Where inputs that are mounted lie in `fetch`, which looks whether they are there. */
  readonly mounted?: { readonly [input: string]: string };
  readonly preparedAtMs: number;
  /** Time for the uploads after the command. */
  readonly uploadTimeoutMs: number;
  /** A checkpoint that is not renamed from `*.tmp` is whole when unchanged for so long. */
  readonly checkpointSettleMs: number;
}

/** One file of a step's code; `path` is where it lands in the working directory. */
export interface StepCodeFile extends FileEntry {
  readonly executable: boolean;
}

/** `code.json` below `storeKeys.stepCode`, written when all files are there, below `files/`. */
export interface StepCode {
  readonly version: 1;
  readonly files: readonly StepCodeFile[];
}

/** Keys of a step's code in the store, below `storeKeys.stepCode`. */
export const stepCodeKeys = {
  list: (prefix: string) => `${prefix}code.json`,
  file: (prefix: string, path: string) => `${prefix}files/${path}`,
} as const;
