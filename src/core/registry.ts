import type { ArtifactRef } from './artifacts.js';
import type { FailureInfo } from './failures.js';
import { digestOf } from './digest.js';

/** What makes a registration the same registration: repeated by a retry, a reset or a late worker it gives the same version. */
export interface RegistrationIdentity {
  readonly namespace: string;
  readonly workflowId: string;
  readonly executionId: string;
  readonly step: string;
  readonly model: string;
  readonly digest: string;
}

/** The idempotency key of a registration (facts: MLflow has none of its own), a tag on version and logged model. */
export function registrationKey(id: RegistrationIdentity): string {
  return digestOf([id.namespace, id.workflowId, id.executionId, id.step, id.model, id.digest]);
}

/** Tag that holds the key. */
export const REGISTRATION_KEY_TAG = 'mlflow.anneal.idempotencyKey';
/** Tags of version and runs that say where they came from. */
export const TAGS = {
  runId: 'anneal.run_id',
  executionId: 'anneal.execution_id',
  pipeline: 'anneal.pipeline',
  step: 'anneal.step',
  callId: 'anneal.call_id',
  attempt: 'anneal.attempt',
  digest: 'anneal.digest',
  replaced: 'anneal.replaced_version',
  /** Of the attempt that wrote a version's bytes; with a cached result that of another run. */
  madeByExecution: 'anneal.made_by.execution_id',
  madeByAttempt: 'anneal.made_by.attempt_name',
} as const;

/** One operation of a model's lane. */
export type LaneOperation = RegisterOperation | AliasOperation | ReconcileOperation;

/** Makes a version from a Model artifact. */
export interface RegisterOperation {
  readonly kind: 'register';
  readonly key: string;
  readonly model: ArtifactRef<'Model'>;
  readonly metrics: { readonly [name: string]: number };
  readonly tags: { readonly [name: string]: string };
  /** MLflow runs that the version is made from; absent when the run is not tracked. */
  readonly source?: { readonly experimentId: string; readonly runId: string };
}

/** Moves an alias: to a version, back to the version before, or away. */
export type AliasOperation = { readonly alias: string; readonly by: string } & (
  | { readonly kind: 'promote'; readonly version: string }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'demote' }
);

/** Compares the aliases of a model with what the lane did last, and repairs them; every other operation begins with the same. */
export interface ReconcileOperation {
  readonly kind: 'reconcile';
}

/** Input of signal `submit` and update `operate` of workflow `model/<name>`. */
export interface LaneRequest {
  /** Same id: same operation; it is carried out once and answered every time. */
  readonly requestId: string;
  readonly modelName: string;
  readonly operation: LaneOperation;
  /** Workflow that waits for the answer; the update answers by itself. */
  readonly replyTo?: { readonly workflowId: string };
}

/** An operation as the lane has it carried out. */
export interface LaneWork {
  readonly modelName: string;
  readonly operation: LaneOperation;
  readonly requestId?: string;
  /** Higher than that of every earlier operation of the model, whoever carries it out and however late. */
  readonly order?: number;
}

/** What a lane operation made. */
export interface LaneResult {
  /** The version that was made, or that the alias points at now; for `demote` the one that it pointed at; empty for `reconcile`. */
  readonly version: string;
  readonly modelId?: string;
  /** The version that the alias pointed at before. */
  readonly replaced?: string;
  /** Something to tell people. */
  readonly notice?: string;
  /** Aliases that a late write had moved, and that were put back. */
  readonly repairs?: readonly AliasRepair[];
  /** A write of this operation may still be carried out later. */
  readonly doubtful?: true;
}

/** An alias that was put back. */
export interface AliasRepair {
  readonly alias: string;
  /** Where it points again; null: nowhere. */
  readonly version: string | null;
  /** Where it was found. */
  readonly found: string | null;
}

/** Argument of signal `laneAnswer` of the asking workflow. */
export interface LaneAnswer {
  readonly requestId: string;
  readonly outcome:
    | { readonly ok: true; readonly result: LaneResult }
    | { readonly ok: false; readonly failure: FailureInfo };
}

/** Workflow type, signals and update of the lane. */
export const LANE_WORKFLOW = 'anneal.model-lane';
export const LANE_SUBMIT = 'submit';
export const LANE_OPERATE = 'operate';
export const LANE_WITHDRAW = 'withdraw';
export const LANE_ANSWER = 'laneAnswer';

/** Workflow id of a model's lane. */
export function laneWorkflowId(modelName: string): string {
  return `model/${modelName}`;
}
