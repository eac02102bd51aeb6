import type { PipelineActivities, RunSnapshot } from '../core/activities.js';
import type { SignatureVerifier } from '../core/approval.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { findApprovers, findStarter, type ApproverDirectory } from './approvers.js';
import { awaitCache } from './await-cache.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { CacheAsker, StepCache } from './step-cache.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createPipelineActivities} is made of. */
export interface PipelineActivityDeps {
  readonly context: () => ActivityContext;
  readonly snapshot: (pipeline: string) => Promise<RunSnapshot>;
  /** Who may decide on approvals, as anneal.yaml says now. */
  readonly directory: () => Promise<ApproverDirectory>;
  /** The caller that the server authenticated when the run was started; undefined where it authenticates nobody. */
  readonly readPrincipal: (run: {
    readonly workflowId: string;
    readonly epoch: string;
  }) => Promise<string | undefined>;
  /** Checks signatures of starts. */
  readonly verify: SignatureVerifier;
  readonly cache: StepCache;
  readonly clock: Clock;
  /** The functions of the project's tasks module, by export name. */
  readonly tasks: { readonly [name: string]: unknown };
}

/** The activities that a pipelines worker runs itself. */
export function createPipelineActivities(deps: PipelineActivityDeps): PipelineActivities {
  return {
    snapshotRun: async ({ pipeline }) => await deps.snapshot(pipeline),
    resolveApprovers: async (request) => {
      const directory = await deps.directory();
      const people = findApprovers(directory, request);
      if (!request.starter) return people;
      const recorded = await deps.readPrincipal(deps.context());
      return {
        ...people,
        starter: findStarter(directory, request.starter, { recorded, verify: deps.verify }),
      };
    },
    askCache: async (query) => {
      const context = deps.context();
      return await withHeartbeat(context, async () => await deps.cache.ask(query, askerOf(context)));
    },
    awaitCache: async (query, { untilMs, runId }) => {
      const context = deps.context();
      const wait = { query, asker: askerOf(context), untilMs, runId };
      return await withHeartbeat(context, (signal) => awaitCache(deps, wait, signal));
    },
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

function askerOf({ workflowId, epoch }: ActivityContext): CacheAsker {
  return { runId: workflowId, epoch };
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
