import { workflowInfo } from '@temporalio/workflow';
import { readCacheOptions } from '../core/cache-options.js';
import { CACHE_PARAMETER, type CacheOptions } from '../core/run.js';
import { checkParameters } from '../core/schema.js';
import { isPipeline, type Pipeline } from '../pipeline/define-pipeline.js';
import { setRuntime } from '../pipeline/runtime.js';
import type { Continuation, RetryStart } from './continuation.js';
import { toFailure } from './failures.js';
import { runPipeline } from './run-pipeline.js';

/** The workflow function behind every pipeline of a build. */
export type Dispatcher = (parameters?: unknown, before?: Continuation | RetryStart) => Promise<unknown>;

/**
 * The default export of a build's workflow code: finds the pipeline by the workflow type, checks the parameters, runs it. An unknown
 * type or a bad parameter fails the run at once, by name, instead of stalling it.
 * @param exports the project's pipelines module.
 */
export function createDispatcher(exports: { readonly [name: string]: unknown }): Dispatcher {
  const pipelines = new Map<string, Pipeline<object, unknown>>();
  for (const value of Object.values(exports)) if (isPipeline(value)) pipelines.set(value.pipelineName, value);
  // Not async, as what waits for a whole run: each open promise holds a stack trace in memory.
  return (parameters, before) => {
    const { workflowType } = workflowInfo();
    const pipeline = pipelines.get(workflowType);
    if (!pipeline)
      throw toFailure(
        'UnknownPipeline',
        `This build has no pipeline "${workflowType}"; it has ${[...pipelines.keys()].sort().join(', ') || 'none'}.`,
      );
    const { cache, given } = splitReserved(parameters);
    const checked = checkParameters(`pipeline "${workflowType}"`, pipeline.definition.params, given);
    const problems = [...(checked.ok ? [] : checked.problems), ...(typeof cache === 'string' ? [cache] : [])];
    if (!checked.ok || typeof cache === 'string')
      return runPipeline(
        pipeline,
        {},
        { setRuntime, refusal: toFailure('InvalidParameter', problems.join(' ')) },
      );
    const start = before && 'journal' in before ? { continuation: before } : { seed: before?.seed };
    return runPipeline(pipeline, checked.values, { ...start, cache, setRuntime });
  };
}

/** The pipeline's own parameters, and what is said beside them where no memo can be given. */
function splitReserved(parameters: unknown): {
  readonly cache: CacheOptions | undefined | string;
  readonly given: unknown;
} {
  if (typeof parameters !== 'object' || parameters === null || !(CACHE_PARAMETER in parameters))
    return { cache: undefined, given: parameters };
  const { [CACHE_PARAMETER]: cache, ...given } = parameters;
  return { cache: readCacheOptions(cache), given };
}
