import type { PipelineActivities, RunSnapshot } from '../core/activities.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { CacheIndex } from './cache.js';

/** What {@link createPipelineActivities} is made of. */
export interface PipelineActivityDeps {
  readonly snapshot: (pipeline: string) => Promise<RunSnapshot>;
  readonly cache: CacheIndex;
  /** The functions of the project's tasks module, by export name. */
  readonly tasks: { readonly [name: string]: unknown };
}

/** The activities that a pipelines worker runs itself. */
export function createPipelineActivities(deps: PipelineActivityDeps): PipelineActivities {
  return {
    snapshotRun: async ({ pipeline }) => await deps.snapshot(pipeline),
    lookUpCache: async ({ key, ttlMs }) => await deps.cache.lookUp(key, ttlMs),
    runTask: async ({ task, input }) => {
      const run = deps.tasks[task];
      if (typeof run !== 'function')
        throw new AnnealError(
          'InvalidConfig',
          `Task "${task}" is not exported by the module that activities: in anneal.yaml names.`,
        );
      return await callTask(task, run as (input: Json) => unknown, input);
    },
  };
}

async function callTask(task: string, run: (input: Json) => unknown, input: Json): Promise<Json> {
  try {
    return ((await run(input)) ?? null) as Json;
  } catch (error) {
    throw new AnnealError(
      'TaskFailed',
      `Task "${task}" threw: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
