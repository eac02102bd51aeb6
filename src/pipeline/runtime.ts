import type { ChampionInfo } from '../core/activities.js';
import type { ArtifactRef } from '../core/artifacts.js';
import type { Json } from '../core/json.js';
import type { LaneResult } from '../core/registry.js';
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

/** Options of {@link PipelineRuntime.approval}. */
export interface ApprovalOptions {
  /** What is approved; a decision must carry its digest. */
  readonly subject: ArtifactRef;
  /** Who may decide; default: anybody. */
  readonly approvers?: readonly string[];
  /** Time after which the approval fails with `ApprovalExpired`. Default: never. */
  readonly expires?: string;
}

/** Who decided an approval. */
export interface Approved {
  readonly by: string;
  readonly comment?: string;
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
  sleep(ms: number): Promise<void>;
  now(): number;
  random(): number;
  approval(gate: string, options: ApprovalOptions): Promise<Approved>;
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
