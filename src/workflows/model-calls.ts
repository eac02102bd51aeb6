import { workflowInfo } from '@temporalio/workflow';
import {
  registrationKey,
  TAGS,
  type AliasOperation,
  type LaneResult,
  type RegisterOperation,
} from '../core/registry.js';
import type { PipelineRuntime, RegisterOptions } from '../pipeline/runtime.js';
import { toFailure } from './failures.js';
import type { LaneClient } from './lane-client.js';
import type { RunContext } from './run-context.js';
import { shown, system } from './shown-call.js';

/** What pipeline code asks of models: everything that changes something goes through the model's lane. */
export function createModelCalls(
  context: RunContext,
  lane: LaneClient,
): Pick<PipelineRuntime, 'registerModel' | 'promote' | 'rollback' | 'demote' | 'champion'> {
  const by = () => workflowInfo().workflowId;
  const move = async (model: string, operation: AliasOperation) =>
    await moveAlias(context, lane, { model, operation });
  return {
    registerModel: async (options) => await registerModel(context, lane, options),
    promote: async (model, version, alias) =>
      await move(model, { kind: 'promote', alias, version, by: by() }),
    rollback: async (model, alias) => await move(model, { kind: 'rollback', alias, by: by() }),
    demote: async (model, alias) => await move(model, { kind: 'demote', alias, by: by() }),
    champion: async (model, alias) =>
      await context.call({ kind: 'model', name: `champion ${model}@${alias}` }, async (call) => {
        await call.begin();
        return await system(context, `read ${model}@${alias}`).readChampion({ modelName: model, alias });
      }),
  };
}

async function moveAlias(
  context: RunContext,
  lane: LaneClient,
  { model, operation }: { readonly model: string; readonly operation: AliasOperation },
): Promise<LaneResult> {
  const name = `${operation.kind} ${model}@${operation.alias}`;
  const input = operation.kind === 'promote' ? { input: operation.version } : {};
  return await shown(context, { kind: 'model', name, ...input }, async (call) => {
    const value = await lane.request(context, call, { modelName: model, operation, summary: name });
    return { value, detail: detailOf(operation, value) };
  });
}

function detailOf({ kind, alias }: AliasOperation, { version, replaced, repairs = [] }: LaneResult): string {
  const moved =
    kind === 'demote'
      ? `version ${version} is no longer ${alias}`
      : `version ${version} is ${alias}${replaced === undefined ? '' : `, before: ${replaced}`}`;
  const repaired = repairs.map(
    (repair) => `; ${repair.alias} was put back to ${repair.version ?? 'nowhere'} after a late write`,
  );
  return [moved, ...repaired].join('');
}

async function registerModel(
  context: RunContext,
  lane: LaneClient,
  options: RegisterOptions,
): Promise<LaneResult> {
  const { namespace, workflowId } = workflowInfo();
  const { executionId, tracking, pipeline } = context.view;
  const { digest } = options.model;
  const identity = {
    namespace,
    workflowId,
    executionId,
    step: 'register-model',
    model: options.name,
    digest,
  };
  const operation: RegisterOperation = {
    kind: 'register',
    key: registrationKey(identity),
    model: options.model,
    metrics: numbersOf(options.metrics?.values),
    tags: {
      ...options.tags,
      [TAGS.runId]: workflowId,
      [TAGS.executionId]: executionId,
      [TAGS.pipeline]: pipeline,
      [TAGS.digest]: digest,
    },
    ...(tracking === undefined ? {} : { source: tracking }),
  };
  const call = { kind: 'model', name: `register ${options.name}`, input: digest } as const;
  if (!context.snapshot.tracked)
    throw toFailure(
      'InvalidConfig',
      `Model "${options.name}" cannot be registered: the project has no MLflow. Set mlflow.uri in anneal.yaml or MLFLOW_TRACKING_URI.`,
    );
  return await shown(context, call, async (live) => {
    const value = await lane.request(context, live, {
      modelName: options.name,
      operation,
      summary: call.name,
    });
    context.view.addTag(`model:${options.name}`);
    const { version, notice } = value;
    return {
      value,
      detail: `${options.name} version ${version}${notice === undefined ? '' : `; ${notice}`}`,
    };
  });
}

function numbersOf(values: unknown): { readonly [name: string]: number } {
  if (typeof values !== 'object' || values === null) return {};
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
