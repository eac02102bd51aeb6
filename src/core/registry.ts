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
} as const;

/** One operation of a model's lane. */
export type LaneOperation =
  | {
      readonly kind: 'register';
      readonly key: string;
      readonly model: ArtifactRef<'Model'>;
      readonly metrics: { readonly [name: string]: number };
      readonly tags: { readonly [name: string]: string };
      /** MLflow runs that the version is made from; absent when the run is not tracked. */
      readonly source?: { readonly experimentId: string; readonly runId: string };
    }
  | {
      readonly kind: 'promote';
      readonly alias: string;
      readonly version: string;
      readonly by: string;
      /** The asking call: a promotion that was carried out is not carried out again after a newer one. */
      readonly requestId?: string;
    };

/** Input of signal `submit` of workflow `model/<name>`. */
export interface LaneRequest {
  /** Same id: same operation; it is carried out once and answered every time. */
  readonly requestId: string;
  readonly modelName: string;
  readonly operation: LaneOperation;
  /** Workflow that waits for the answer. */
  readonly replyTo: { readonly workflowId: string };
}

/** What a lane operation made. */
export interface LaneResult {
  readonly version: string;
  readonly modelId?: string;
  /** For `promote`: the version that the alias pointed at before. */
  readonly replaced?: string;
}

/** Argument of signal `laneAnswer` of the asking workflow. */
export interface LaneAnswer {
  readonly requestId: string;
  readonly outcome:
    | { readonly ok: true; readonly result: LaneResult }
    | { readonly ok: false; readonly failure: FailureInfo };
}

/** Workflow type and signals of the lane. */
export const LANE_WORKFLOW = 'anneal.model-lane';
export const LANE_SUBMIT = 'submit';
export const LANE_WITHDRAW = 'withdraw';
export const LANE_ANSWER = 'laneAnswer';

/** Workflow id of a model's lane. */
export function laneWorkflowId(modelName: string): string {
  return `model/${modelName}`;
}
