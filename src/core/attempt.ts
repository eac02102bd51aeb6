import type { ArtifactRef, AttemptMemory } from './artifacts.js';
import { base32Digest } from './digest.js';
import type { FailureCode } from './failures.js';
import type { KubernetesOptions } from './kubernetes.js';
import type { SlotSchema } from './schema.js';
import type {
  CommandArgument,
  InputAccess,
  ParameterValues,
  PythonEnvironment,
  Resources,
  SecretRef,
} from './step.js';

/**
 * One attempt as the workflow asks for it: the input of the activity `executeAttempt`. Additive only: pool workers of other
 * versions read it.
 */
export interface AttemptRequest {
  readonly project: string;
  readonly pipeline: string;
  /** Temporal's `firstExecutionRunId`: root of the run's artifacts. */
  readonly executionId: string;
  readonly step: string;
  /** Identity of the call over retries, continue-as-new and resets: hex digest of (step, input digest, occurrence). */
  readonly callId: string;
  /** Earlier calls of that step in this epoch. */
  readonly index: number;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Build whose step code is used. */
  readonly build: string;
  /** Pool that was chosen. */
  readonly pool: string;
  readonly image?: string;
  readonly code: readonly string[];
  readonly codeDigest: string;
  readonly python?: PythonEnvironment;
  readonly env: { readonly [name: string]: string | SecretRef };
  readonly command: readonly CommandArgument[];
  readonly inputs: { readonly [name: string]: ArtifactRef };
  /** Inputs that are not copied. */
  readonly access?: { readonly [input: string]: InputAccess };
  readonly parameters: ParameterValues;
  readonly outputs: { readonly [name: string]: SlotSchema };
  readonly resources: Resources;
  readonly timeoutMs?: number;
  readonly stopGraceMs: number;
  readonly mlflow?: 'resume';
  readonly kubernetes?: KubernetesOptions;
  /** MLflow ids of the run; absent when the run is not tracked. */
  readonly tracking?: { readonly experimentId: string; readonly parentRunId: string };
  /** Leave checkpoints of earlier attempts aside. */
  readonly fresh?: boolean;
  /** What an hour of it costs. */
  readonly pricePerHour?: number;
  /** The run has a budget: it is told when the attempt runs. */
  readonly tellsBegan?: true;
  /** People may send it commands while it runs: it gets `ANNEAL_COMMANDS_DIR`. */
  readonly takesCommands?: true;
}

/** How long an attempt was in each of its phases, where its executor knows: Kubernetes does. Phases that there were not are left out. */
export interface AttemptPhases {
  readonly queuedMs?: number;
  readonly pullingMs?: number;
  readonly preparingMs?: number;
  readonly runningMs?: number;
  readonly uploadingMs?: number;
}

/** An attempt that made its outputs. */
export interface AttemptSucceeded {
  readonly kind: 'succeeded';
  readonly attemptName: string;
  readonly outputs: { readonly [name: string]: ArtifactRef };
  readonly parameters: ParameterValues;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly trackingRunId?: string;
  readonly phases?: AttemptPhases;
  readonly memory?: AttemptMemory;
}

/** An attempt that did not. */
export interface AttemptFailed {
  readonly kind: 'failed';
  readonly attemptName: string;
  readonly code: FailureCode;
  readonly message: string;
  readonly exitCode?: number;
  readonly signal?: string;
  /** Last lines of the log, 20 at most. */
  readonly logTail: readonly string[];
  readonly memory?: AttemptMemory;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly trackingRunId?: string;
  readonly phases?: AttemptPhases;
}

/** How an attempt ended. A value: only outcomes spend retry budgets. */
export type AttemptOutcome = AttemptSucceeded | AttemptFailed;

/** What an attempt is called, everywhere: Job, directory, store prefix. */
export interface AttemptIdentity {
  readonly namespace: string;
  readonly workflowId: string;
  /** Run id of the workflow execution that asks, read in the activity. */
  readonly epoch: string;
  readonly step: string;
  readonly index: number;
  readonly attempt: number;
}

/** `<slug, 18 at most>-<base32(sha256(namespace/workflow id/epoch/step/index)), 16>-a<attempt>`: at most 40 characters, a DNS label. */
export function attemptName(id: AttemptIdentity): string {
  const hash = base32Digest(`${id.namespace}/${id.workflowId}/${id.epoch}/${id.step}/${id.index}`, 16);
  return `${slug(id.step, SLUG_LENGTH)}-${hash}-a${id.attempt}`;
}

/** How much of a step's name is in its attempts'. */
export const SLUG_LENGTH = 18;

/** Lower-case letters, digits and dashes, starting with a letter, at most `limit` characters. */
export function slug(text: string, limit: number): string {
  const clean = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, limit)
    .replace(/-+$/, '');
  return clean === '' ? 's' : clean;
}
