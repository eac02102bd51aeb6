import type { ChampionInfo } from '../core/activities.js';
import type { ArtifactRef } from '../core/artifacts.js';
import type { Json } from '../core/json.js';
import type { LaneResult } from '../core/registry.js';
import type { ParameterSchema } from '../core/schema.js';
import type { CommandArgument, Resources, RetryPolicy, StepDefinition } from '../core/step.js';

/** A call of a step, worked out as data. */
export interface StepRequest {
  readonly definition: StepDefinition;
  readonly command: readonly CommandArgument[];
  readonly parameters: { readonly [name: string]: Json };
  readonly inputs: { readonly [name: string]: ArtifactRef };
  readonly options: StepOptions;
}

/** What one call of a step may change. */
export interface StepOptions {
  /** Name shown for this call; default: the step's name. */
  readonly name?: string;
  readonly resources?: Resources;
  readonly retry?: RetryPolicy;
  readonly timeout?: string;
  readonly pool?: string;
  /** `false`: neither look up nor store a cached result. */
  readonly cache?: false;
}

/** What a step call gives: artifacts and parameters by output name. */
export type StepOutputs = { readonly [name: string]: ArtifactRef | Json };

/** What an approval waits for. `F`: its form. */
export interface ApprovalOptions<F = Record<never, never>> {
  /** What is approved; a decision must carry its digest. */
  readonly subject: ArtifactRef;
  /** Names of approvers and groups of anneal.yaml. Default: everybody who is listed there. */
  readonly approvers?: readonly string[];
  /** How many different people must approve. Default 1. */
  readonly quorum?: number;
  /** Who started the run may not decide. Default false. */
  readonly notSelf?: boolean;
  /** Approvers and groups whose rejection ends the approval at once; others' only count against the quorum. Default: anybody's does. */
  readonly veto?: readonly string[];
  /**
   * Time after which the approval ends by itself: it fails with `ApprovalExpired`, or with an outcome it counts as approved or
   * rejected. Default: never.
   */
  readonly expires?: string | { readonly after: string; readonly outcome: 'fail' | 'reject' | 'approve' };
  /** After that time these may decide too, and are told. */
  readonly escalate?: { readonly after: string; readonly to: readonly string[] };
  /** Tells the approvers again, that often. Default: never. Each reminder costs events of the run's history. */
  readonly remindEvery?: string;
  /** What an approver may set, as parameters of a pipeline: `{ threshold: number({ min: 0, max: 1, default: 0.85 }) }`. */
  readonly form?: F;
  /** Decisions without a signature count, and are shown as unverified. Default false. */
  readonly allowUnverified?: boolean;
  /** Shown to the approvers. */
  readonly metrics?: ArtifactRef<'Metrics'>;
  /** The registered model whose alias (default `champion`) the metrics are compared with. */
  readonly model?: string | { readonly name: string; readonly alias: string };
}

/** An approval as the runtime gets it. */
export interface ApprovalRequest extends Omit<ApprovalOptions, 'form'> {
  readonly form: { readonly [name: string]: ParameterSchema };
}

/** How an approval was given. */
export interface Approved<V = Record<never, never>> {
  /** Who completed it; `expiry` where nobody did in time and that counts as approved. */
  readonly by: string;
  /** Everybody who approved, in order. */
  readonly approvedBy: readonly string[];
  readonly comment?: string;
  /** Whether a listed key signed each of the approvals. */
  readonly verified: boolean;
  /** Values of the form. */
  readonly form: V;
}

/** Options of a registration. */
export interface RegisterOptions {
  readonly name: string;
  readonly model: ArtifactRef<'Model'>;
  readonly metrics?: ArtifactRef<'Metrics'>;
  readonly tags?: { readonly [name: string]: string };
}

/** How a message to people is given. */
export interface Message {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

/**
 * What pipeline code stands on. The dispatcher sets one per workflow; the testing kit sets another. Every answer is journaled, so the
 * function can be run again and gets the same answers in the same order.
 */
export interface PipelineRuntime {
  step(request: StepRequest): Promise<StepOutputs>;
  task(name: string, input: Json, options: TaskOptions): Promise<Json>;
  pipeline(name: string, parameters: { readonly [name: string]: Json }): Promise<unknown>;
  pinDataset(name: string, uri: string): Promise<ArtifactRef<'Dataset', object>>;
  sleep(ms: number): Promise<void>;
  now(): number;
  random(): number;
  approval(gate: string, options: ApprovalRequest): Promise<Approved>;
  registerModel(options: RegisterOptions): Promise<LaneResult>;
  promote(model: string, version: string, alias: string): Promise<LaneResult>;
  rollback(model: string, alias: string): Promise<LaneResult>;
  demote(model: string, alias: string): Promise<LaneResult>;
  champion(model: string, alias: string): Promise<ChampionInfo | null>;
  notify(message: Message): Promise<void>;
  cleanup<T>(fn: () => Promise<T>): Promise<T>;
  log(message: string, fields: { readonly [name: string]: Json }): void;
}

/** How a task is run. */
export interface TaskOptions {
  /** Time that one try may take. Default `'1m'`. */
  readonly timeout?: string;
  /** Tries in all. Default 3. */
  readonly attempts?: number;
}

let current: PipelineRuntime | undefined;

/** Sets the runtime of this workflow. The sandbox gives each workflow its own copy of this module. */
export function setRuntime(runtime: PipelineRuntime | undefined): void {
  current = runtime;
}

/** The runtime of this workflow. @throws Error outside a run. */
export function currentRuntime(what: string): PipelineRuntime {
  if (!current)
    throw new Error(
      `${what} was called outside a run. Call it inside the function of a pipeline; start pipelines with "anneal run" or anneal/client.`,
    );
  return current;
}
