import { workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { readCacheOptions } from '../core/cache-options.js';
import { keyProblem, partitionBefore, type PartitionDefinition } from '../core/partitions.js';
import { CACHE_PARAMETER, type CacheOptions } from '../core/run.js';
import { checkParameters } from '../core/schema.js';
import { verifySignature } from '../core/verify-signature.js';
import { isPipeline, type Pipeline } from '../pipeline/define-pipeline.js';
import { setRuntime } from '../pipeline/runtime.js';
import type { Continuation, RetryStart } from './continuation.js';
import { toFailure } from './failures.js';
import { runPipeline } from './run-pipeline.js';

/** What every run stands on: pure and synchronous, so that a replay gets the same of it. Pinned with the build, as all of this. */
const PORTS = { setRuntime, verify: verifySignature } as const;

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
    const { cache, given: said } = splitReserved(parameters);
    const { partition } = pipeline.definition;
    const given = partition === undefined ? said : withPartition(partition, said);
    const checked = checkParameters(`pipeline "${workflowType}"`, pipeline.definition.params, given);
    const problems = [...(checked.ok ? [] : checked.problems), ...(typeof cache === 'string' ? [cache] : [])];
    const wrongKey =
      checked.ok && partition !== undefined && keyProblem(partition, checked.values[partition.parameter]);
    if (typeof wrongKey === 'string') problems.push(wrongKey);
    if (!checked.ok || typeof cache === 'string' || typeof wrongKey === 'string')
      return runPipeline(
        pipeline,
        {},
        { ...PORTS, refusal: toFailure('InvalidParameter', problems.join(' ')) },
      );
    const start = before && 'journal' in before ? { continuation: before } : { seed: before?.seed };
    return runPipeline(pipeline, checked.values, { ...start, ...PORTS, cache });
  };
}

const scheduledKey = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** A run of a schedule makes the last whole partition before its time, where its parameters do not say which. */
function withPartition(partition: PartitionDefinition, given: unknown): unknown {
  if (typeof given === 'object' && given !== null && partition.parameter in given) return given;
  const scheduled = workflowInfo().typedSearchAttributes.get(scheduledKey);
  const key = scheduled === undefined ? undefined : partitionBefore(partition, scheduled.getTime());
  return key === undefined ? given : { ...(given ?? {}), [partition.parameter]: key };
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
