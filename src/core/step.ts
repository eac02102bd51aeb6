import type { Json } from './json.js';
import type { KubernetesOptions } from './kubernetes.js';
import type { SlotSchema } from './schema.js';
import type { CommandDefinition } from './step-command.js';

/** A reference to a secret; the executor resolves it where the step runs, so its value is in no history, log or label. */
export interface SecretRef {
  readonly secret: { readonly name: string; readonly key: string };
}

/** Compute that a step asks for. Amounts of memory and storage are text such as `'8Gi'`. What follows `gpu` counts on Kubernetes alone. */
export interface Resources {
  /** Cores; fractions are allowed. */
  readonly cpu?: number;
  readonly memory?: string;
  /** Number of GPUs of any type, or a type (a pool's `gpuType`) and a count. */
  readonly gpu?: number | { readonly type: string; readonly count: number };
  /** What the attempt may write to the node's disk, working directory and outputs included. */
  readonly ephemeralStorage?: string;
  /** Size of `/dev/shm`; it counts in `memory`. */
  readonly sharedMemory?: string;
  /** A volume of its own at `/scratch` for the time of one attempt. */
  readonly scratch?: { readonly size: string; readonly storageClass?: string };
}

/** How often a failed step is tried again, and after what time. */
export interface RetryPolicy {
  /** Attempts in all that may fail by the user's own doing. Default 1: no retry. */
  readonly attempts?: number;
  /** Time before the second attempt. Default `'0s'`. */
  readonly delay?: string;
  /** Factor from one delay to the next. Default 1. */
  readonly backoff?: number;
  /** Largest delay. Default: `delay`, and at least `'1h'`. */
  readonly maxDelay?: string;
  /** After running out of memory: multiply memory (`'x2'`) up to `max` and try again. */
  readonly outOfMemory?: { readonly memory: `x${number}`; readonly max: string };
}

/** Python environment of a step: an environment made from a hashed lock, kept in the user's cache. */
export interface PythonEnvironment {
  /** Path of a pinned, hashed requirements file, relative to anneal.yaml. */
  readonly requirements: string;
  /** Such as `'3.11'`; default: the `python3` of the machine. */
  readonly version?: string;
}

/** How the results of a step are reused. */
export interface StepCacheOptions {
  /** Age up to which a result is reused, such as `'12h'`. Default: any. */
  readonly ttl?: string;
  /** Part of the key: another version is another result. A step without an artifact as input is cached only where it has one. */
  readonly version?: string;
  /** Time that a run waits for another one that is making the same result, before it makes its own. Default `'30m'`. */
  readonly maxWait?: string;
}

/** A path or URI of one of the step's own inputs or outputs inside its command, put in where the step runs. */
export type CommandToken =
  | { readonly input: string; readonly as: 'path' | 'uri' }
  | { readonly output: string; readonly as: 'path' | 'uri' };

/**
 * How a command gets an input: `copy`, fetched before it begins, at a path of its own; `stream`, its URI alone, which the command reads with its own
 * access; `mount`, a path where the input already is, on the machine or on a volume that the pool says holds it.
 */
export type InputAccess = 'copy' | 'stream' | 'mount';

/** One argument: text, or pieces of text and tokens that are joined. Never passes through a shell. */
export type CommandArgument = string | readonly (string | CommandToken)[];

/** Everything about a step that its calls share. Data: it is in the build's manifest. */
export interface StepDefinition {
  readonly name: string;
  /** Container image; required on Kubernetes, ignored by process pools. */
  readonly image?: string;
  /** Files and directories that the command needs, relative to anneal.yaml; a file lands in the working directory by its base name, a directory by its contents. */
  readonly code: readonly string[];
  readonly python?: PythonEnvironment;
  readonly env: { readonly [name: string]: string | SecretRef };
  readonly inputs: { readonly [name: string]: SlotSchema };
  readonly outputs: { readonly [name: string]: SlotSchema };
  /** How artifacts are delivered, by input; `copy` where nothing is said. No part of cache keys. */
  readonly access?: { readonly [input: string]: InputAccess };
  readonly resources: Resources;
  readonly retry: RetryPolicy;
  /** Pool by name; default: the smallest that fits. */
  readonly pool?: string;
  /** Time that the command of one attempt may take. Default: no limit. */
  readonly timeout?: string;
  /** Time between SIGTERM and SIGKILL. Default `'30s'`. */
  readonly stopGrace: string;
  readonly cache: false | StepCacheOptions;
  /** `'resume'`: the command itself continues the step's MLflow run (`MLFLOW_RUN_ID`). */
  readonly mlflow?: 'resume';
  /** Counts on Kubernetes alone. */
  readonly kubernetes?: KubernetesOptions;
  /** Commands that people may send to it while it runs. */
  readonly commands?: readonly CommandDefinition[];
}

/** Parameters of one call of a step, by name. */
export type ParameterValues = { readonly [name: string]: Json };
