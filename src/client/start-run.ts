import { BUDGET_MEMO, budgetProblem } from '../core/budget.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { CACHE_MEMO, pipelinesTaskQueue, STARTED_BY_MEMO, type CacheOptions } from '../core/run.js';
import { RETRY_MEMO, type RetrySeed } from '../core/run-control.js';
import { START_MEMO, startStatement, type StartSignature } from '../core/run-starter.js';
import { PARAMETERS_LIMIT } from '../core/schema.js';
import type { ClientDeps } from './client-deps.js';
import { createRunId, RUN_ID_LIMIT, shellWord } from './run-id.js';
import { readRunState } from './run-state.js';
import type { DecisionSigner } from './sign-decision.js';
import { callTemporal, classifyTemporalError } from './temporal-errors.js';

/** How a run is started. */
export interface StartRunOptions {
  /** By name; those that are left out take the pipeline's defaults. At most 1,000,000 characters of JSON. */
  readonly parameters?: { readonly [name: string]: Json };
  /** Default: `<pipeline>-<yyyymmdd>-<hhmmss>-<4 characters>`. A second run of the same id is refused for ever. */
  readonly runId?: string;
  /** Who starts it: an approval with `notSelf` does not take their decision. */
  readonly startedBy?: string;
  /** Signs the start as `startedBy`, so that gates with `notSelf` know who it was. */
  readonly signer?: DecisionSigner;
  /** Finished work of another run that this one takes up. */
  readonly seed?: RetrySeed;
  /** Digest of the build that it runs on. Default: the current one. */
  readonly build?: string;
  /** What it may cost, in place of what its pipeline says. */
  readonly budget?: number;
  /** `false`: no step's result is taken from the cache, and none is kept. `refresh`: steps to make again. `verify`: read files of hits. */
  readonly cache?: boolean | Omit<CacheOptions, 'off'>;
}

/** A run that was accepted by the server. */
export interface StartedRun {
  readonly runId: string;
  readonly executionId: string;
}

/**
 * Starts a run of a pipeline. Whether the pipeline exists and takes the parameters is said by the run itself, at its start.
 * @throws AnnealError RunExists, PayloadTooLarge, InvalidInput, ServerUnreachable.
 */
export async function startRun(
  deps: ClientDeps,
  pipeline: string,
  options: StartRunOptions = {},
): Promise<StartedRun> {
  const parameters = options.parameters ?? {};
  refuseLargeParameters(pipeline, parameters);
  const wrongBudget = options.budget === undefined ? undefined : budgetProblem(options.budget);
  if (wrongBudget !== undefined) throw new AnnealError('InvalidInput', wrongBudget);
  const runId = options.runId ?? createRunId(pipeline, deps.clock.nowMs());
  if (runId === '' || runId.length > RUN_ID_LIMIT)
    throw new AnnealError(
      'InvalidInput',
      `A run id has 1 to ${RUN_ID_LIMIT} characters; this one has ${runId.length}. Use a shorter one.`,
    );
  const cache = toCacheOptions(options.cache);
  const signed = await signStart(deps, { pipeline, runId }, options);
  const start = () =>
    deps.temporal.workflow.start(pipeline, {
      workflowId: runId,
      taskQueue: pipelinesTaskQueue(deps.project),
      args: options.seed === undefined ? [parameters] : [parameters, { seed: options.seed }],
      ...(options.build === undefined
        ? {}
        : {
            versioningOverride: {
              pinnedTo: { deploymentName: deps.project, buildId: options.build },
            },
          }),
      staticSummary: pipeline,
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      memo: {
        ...(cache === undefined ? {} : { [CACHE_MEMO]: cache }),
        ...(options.budget === undefined ? {} : { [BUDGET_MEMO]: options.budget }),
        ...(options.seed === undefined ? {} : { [RETRY_MEMO]: options.seed.of }),
        ...(options.startedBy === undefined ? {} : { [STARTED_BY_MEMO]: options.startedBy }),
        ...(signed === undefined ? {} : { [START_MEMO]: signed }),
      },
    });
  try {
    const handle = await callTemporal(deps, `a run of "${pipeline}"`, start);
    return { runId, executionId: handle.firstExecutionRunId };
  } catch (error) {
    if (classifyTemporalError(error) === 'exists') throw await runExists(deps, runId, error);
    throw error instanceof AnnealError && error.code === 'ServerUnreachable'
      ? perhapsStarted(runId, error)
      : error;
  }
}

async function signStart(
  { project, clock }: ClientDeps,
  { pipeline, runId }: { readonly pipeline: string; readonly runId: string },
  { startedBy: by, signer }: StartRunOptions,
): Promise<StartSignature | undefined> {
  if (signer === undefined || by === undefined) return undefined;
  const atMs = clock.nowMs();
  return { atMs, signature: await signer.sign(startStatement({ project, pipeline, runId, by, atMs })) };
}

function toCacheOptions(cache: StartRunOptions['cache']): CacheOptions | undefined {
  if (cache === undefined || cache === true) return undefined;
  return cache === false ? { off: true } : cache;
}

function refuseLargeParameters(pipeline: string, parameters: { readonly [name: string]: Json }): void {
  const sizes = Object.entries(parameters).map(
    ([name, value]) => [name, JSON.stringify(value)?.length ?? 0] as const,
  );
  const total = sizes.reduce((sum, [name, size]) => sum + name.length + size, 0);
  if (total <= PARAMETERS_LIMIT) return;
  const [largest, size] = sizes.reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0] as const);
  throw new AnnealError(
    'PayloadTooLarge',
    `The parameters of pipeline "${pipeline}" have ${total} characters of JSON, most of them in "${largest}" (${size}); at most ${PARAMETERS_LIMIT} are allowed. Put the data into a file or object, pass its path or URI, and read it in a step.`,
  );
}

/** The answer may have been lost, and not the request: who starts it under another id may have it twice. */
function perhapsStarted(runId: string, cause: AnnealError): AnnealError {
  const id = shellWord(runId);
  return new AnnealError(
    'ServerUnreachable',
    `${cause.message} Whether run "${runId}" was started is not known: look with "anneal describe ${id}", or start it once more with --id ${id}, which is refused where it was.`,
    { cause },
  );
}

async function runExists(deps: ClientDeps, runId: string, cause: unknown): Promise<AnnealError> {
  const found = await callTemporal(deps, `run "${runId}"`, () =>
    deps.temporal.workflow.getHandle(runId).describe(),
  );
  const state = readRunState(found);
  const since = (found.closeTime ?? found.startTime).toISOString();
  const what = found.closeTime === undefined ? `it has been ${state} since ${since}` : `${state} at ${since}`;
  return new AnnealError(
    'RunExists',
    `Run "${runId}" exists already: pipeline "${found.type}", ${what}. Choose another --id, or look at it with: anneal describe ${shellWord(runId)}`,
    { cause },
  );
}
