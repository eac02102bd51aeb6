import type { PipelineActivities, RunSnapshot } from '../core/activities.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { CacheIndex } from './cache.js';
import type { ActivityContext } from './ports/activity-context.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createPipelineActivities} is made of. */
export interface PipelineActivityDeps {
  readonly context: () => ActivityContext;
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
      return await withHeartbeat(deps.context(), (signal) => callTask(task, run as Task, { input, signal }));
    },
  };
}

/** A task also gets the signal that aborts when the run is cancelled or the worker stops. */
type Task = (input: Json, signal: AbortSignal) => unknown;

async function callTask(
  task: string,
  run: Task,
  { input, signal }: { readonly input: Json; readonly signal: AbortSignal },
): Promise<Json> {
  try {
    return ((await run(input, signal)) ?? null) as Json;
  } catch (error) {
    // It ended because it was told to, which is no failure: the worker tells this by the error.
    if (signal.aborted && (error === signal.reason || (error as Error).name === 'AbortError')) throw error;
    throw new AnnealError(
      'TaskFailed',
      `Task "${task}" threw: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
