import { WithStartWorkflowOperation, type Workflow } from '@temporalio/client';
import {
  BACKFILL_ADD,
  BACKFILL_CANCEL,
  BACKFILL_PAUSE,
  BACKFILL_PROGRESS,
  BACKFILL_RESUME,
  BACKFILL_RETRY,
  BACKFILL_WORKFLOW,
  backfillWorkflowId,
  DEFAULT_CONCURRENCY,
  type BackfillProgress,
  type BackfillRange,
  type BackfillState,
} from '../core/backfill.js';
import { storeKeys } from '../core/artifact-store.js';
import { canonicalJson } from '../core/json.js';
import {
  isMade,
  partitionParameters,
  type MadePartition,
  type PartitionMaking,
} from '../core/made-partition.js';
import { AnnealError } from '../core/failures.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import { systemTaskQueue, toPathSegment } from '../core/run.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { callTemporal, classifyTemporalError, translateTemporalError } from './temporal-errors.js';

/** Partitions that are asked for. */
export interface BackfillOptions extends Partial<Omit<BackfillRange, 'project' | 'keys'>> {
  readonly keys: readonly string[];
}

/** What a backfill would do. */
export interface BackfillPlan {
  readonly toMake: readonly string[];
  /** Made already, with the same code and parameters. */
  readonly made: readonly string[];
}

/** What partitions would be made with. */
export interface BackfillPlanOptions extends Pick<BackfillOptions, 'keys' | 'params'> {
  readonly build: Pick<PartitionMaking, 'build' | 'code'>;
}

/** Makes partitions of pipelines, many of them. One backfill of a pipeline runs at a time; ranges are added to it. */
export interface Backfills {
  /** Adds partitions to the pipeline's backfill, which is started where it does not run. @throws AnnealError InvalidInput, WorkerUnavailable. */
  add(pipeline: PipelineDefinition, options: BackfillOptions): Promise<BackfillProgress>;
  /** Which of the keys are made already. */
  plan(pipeline: PipelineDefinition, options: BackfillPlanOptions): Promise<BackfillPlan>;
  /** How far the newest backfill of a pipeline is, or how it ended. @throws AnnealError RunNotFound. */
  progress(pipeline: string): Promise<BackfillProgress>;
  pause(pipeline: string): Promise<BackfillProgress>;
  resume(pipeline: string): Promise<BackfillProgress>;
  /** Starts nothing more, and cancels what is under way. */
  cancel(pipeline: string): Promise<BackfillProgress>;
  /** Makes failed partitions again, also those of a backfill that has ended. */
  retryFailed(pipeline: PipelineDefinition): Promise<BackfillProgress>;
  /** Progress, look by look, until it has ended. */
  watch(pipeline: string, signal?: AbortSignal): AsyncIterable<BackfillProgress>;
}

const LOOK_MS = 1_000;
const READ_AT_ONCE = 16;

/** Makes {@link Backfills}. */
export function createBackfills(deps: ClientDeps): Backfills {
  const ask = async (pipeline: string, update: string) =>
    await confirmed(deps, { pipeline, update }, async () => {
      const handle = deps.temporal.workflow.getHandle(backfillWorkflowId(pipeline));
      return await handle.executeUpdate<BackfillProgress, []>(update);
    });
  const progress = async (pipeline: string) => await readProgress(deps, pipeline);
  return {
    add: async (pipeline, options) => await add(deps, pipeline, options),
    plan: async (pipeline, options) => await plan(deps, pipeline, options),
    progress,
    pause: async (pipeline) => await ask(pipeline, BACKFILL_PAUSE),
    resume: async (pipeline) => await ask(pipeline, BACKFILL_RESUME),
    cancel: async (pipeline) => await ask(pipeline, BACKFILL_CANCEL),
    retryFailed: async (pipeline) => {
      const now = await progress(pipeline.name);
      if (now.state !== 'completed' && now.state !== 'cancelled')
        return await ask(pipeline.name, BACKFILL_RETRY);
      return await retryEnded(deps, pipeline, now);
    },
    watch: async function* (pipeline, signal) {
      for (;;) {
        const now = await progress(pipeline);
        yield now;
        if (now.state === 'completed' || now.state === 'cancelled') return;
        await deps.clock.sleep(LOOK_MS, signal);
      }
    },
  };
}

async function add(
  deps: ClientDeps,
  { name: pipeline, partition }: PipelineDefinition,
  options: BackfillOptions,
): Promise<BackfillProgress> {
  if (partition === undefined)
    throw new AnnealError(
      'InvalidInput',
      `Pipeline "${pipeline}" has no partitions. Add partition: to definePipeline, with the parameter that takes the key.`,
    );
  const { keys, again = false, params = {}, concurrency } = options;
  const state: BackfillState = {
    ...{ project: deps.project, pipeline, parameter: partition.parameter },
    ...{ concurrency: concurrency ?? DEFAULT_CONCURRENCY, queue: [], running: [], failed: [] },
    ...{ made: 0, skipped: 0, cancelled: 0, paused: false, cancelling: false },
    startedAtMs: deps.clock.nowMs(),
  };
  const range: BackfillRange = {
    ...{ project: deps.project, keys, again, params },
    ...(concurrency === undefined ? {} : { concurrency }),
  };
  return await confirmed(deps, { pipeline, update: BACKFILL_ADD }, async () => {
    const startWorkflowOperation = new WithStartWorkflowOperation(BACKFILL_WORKFLOW, {
      workflowId: backfillWorkflowId(pipeline),
      taskQueue: systemTaskQueue(deps.project),
      args: [state],
      workflowIdConflictPolicy: 'USE_EXISTING',
      staticSummary: `makes partitions of ${pipeline}`.slice(0, 200),
    });
    return await deps.temporal.workflow.executeUpdateWithStart<Workflow, BackfillProgress, [BackfillRange]>(
      BACKFILL_ADD,
      { args: [range], startWorkflowOperation },
    );
  });
}

/** Makes the failed partitions of a backfill that has ended again: those of equal parameters together. */
async function retryEnded(
  deps: ClientDeps,
  pipeline: PipelineDefinition,
  ended: BackfillProgress,
): Promise<BackfillProgress> {
  const { failed, concurrency } = ended;
  const ranges = new Map<string, { readonly keys: string[]; readonly params: BackfillRange['params'] }>();
  for (const { key, params } of failed) {
    const range = ranges.get(canonicalJson(params)) ?? { keys: [], params };
    range.keys.push(key);
    ranges.set(canonicalJson(params), range);
  }
  let last = ended;
  for (const range of ranges.values())
    last = await add(deps, pipeline, { ...range, again: true, concurrency });
  return last;
}

/** An update of a backfill, its failures in words. */
async function confirmed(
  deps: ClientDeps,
  { pipeline, update }: { readonly pipeline: string; readonly update: string },
  send: () => Promise<BackfillProgress>,
): Promise<BackfillProgress> {
  try {
    return await deps.temporal.withDeadline(deps.clock.nowMs() + CALL_TIMEOUT_MS, send);
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowUpdateFailedError')
      throw new AnnealError(
        'InvalidInput',
        error.cause instanceof Error ? error.cause.message : error.message,
        { cause: error },
      );
    const kind = classifyTemporalError(error);
    if (kind === 'no-answer' || kind === 'cancelled')
      throw new AnnealError(
        'WorkerUnavailable',
        `No worker of project "${deps.project}" confirmed "${update}" for the backfill of ${pipeline} within ${CALL_TIMEOUT_MS / 1_000} s. Start one with "anneal up" and repeat the command; partitions are added once.`,
        { cause: error },
      );
    throw kind === 'not-found' ? noBackfill(pipeline, error) : translateTemporalError(error, 'a backfill');
  }
}

async function readProgress(deps: ClientDeps, pipeline: string): Promise<BackfillProgress> {
  const handle = deps.temporal.workflow.getHandle(backfillWorkflowId(pipeline));
  try {
    const { status } = await callTemporal(deps, 'a backfill', async () => await handle.describe());
    if (status.name === 'COMPLETED')
      return await callTemporal(deps, 'a backfill', async () => (await handle.result()) as BackfillProgress);
  } catch (error) {
    throw error instanceof AnnealError && error.code === 'RunNotFound' ? noBackfill(pipeline, error) : error;
  }
  return await confirmed(deps, { pipeline, update: BACKFILL_PROGRESS }, async () => {
    return await handle.query<BackfillProgress>(BACKFILL_PROGRESS);
  });
}

function noBackfill(pipeline: string, cause: unknown): AnnealError {
  return new AnnealError(
    'RunNotFound',
    `No backfill of pipeline "${pipeline}" is open. Start one with: anneal backfill ${pipeline} --from KEY --to KEY`,
    { cause },
  );
}

async function plan(
  { store, project }: ClientDeps,
  pipeline: PipelineDefinition,
  { keys, params = {}, build }: BackfillPlanOptions,
): Promise<BackfillPlan> {
  const made: string[] = [];
  for (let at = 0; at < keys.length; at += READ_AT_ONCE) {
    const some = await Promise.all(
      keys.slice(at, at + READ_AT_ONCE).map(async (key) => {
        const place = { project, pipeline: pipeline.name, segment: toPathSegment(key) };
        const bytes = await store?.readBytes(storeKeys.partition(place));
        if (bytes === undefined) return [];
        const found = JSON.parse(Buffer.from(bytes).toString('utf8')) as MadePartition;
        if (!isMade(found, { ...build, parameters: partitionParameters(pipeline, key, params) })) return [];
        // What was removed from the store is made again.
        return (await store?.readBytes(storeKeys.run(found.executionId))) === undefined ? [] : [key];
      }),
    );
    made.push(...some.flat());
  }
  const known = new Set(made);
  return { made, toMake: keys.filter((key) => !known.has(key)) };
}
