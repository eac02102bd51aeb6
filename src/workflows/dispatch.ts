import { workflowInfo } from '@temporalio/workflow';
import { checkParameters } from '../core/schema.js';
import { isPipeline, type Pipeline } from '../pipeline/define-pipeline.js';
import type { Continuation } from './continuation.js';
import { toFailure } from './failures.js';
import { runPipeline } from './run-pipeline.js';

/** The workflow function behind every pipeline of a build. */
export type Dispatcher = (parameters?: unknown, continuation?: Continuation) => Promise<unknown>;

/**
 * The default export of a build's workflow code: finds the pipeline by the workflow type, checks the parameters, runs it. An unknown
 * type or a bad parameter fails the run at once, by name, instead of stalling it.
 * @param exports the project's pipelines module.
 */
export function createDispatcher(exports: { readonly [name: string]: unknown }): Dispatcher {
  const pipelines = new Map<string, Pipeline<object, unknown>>();
  for (const value of Object.values(exports)) if (isPipeline(value)) pipelines.set(value.pipelineName, value);
  return async (parameters, continuation) => {
    const { workflowType } = workflowInfo();
    const pipeline = pipelines.get(workflowType);
    if (!pipeline)
      throw toFailure(
        'UnknownPipeline',
        `This build has no pipeline "${workflowType}"; it has ${[...pipelines.keys()].sort().join(', ') || 'none'}.`,
      );
    const checked = checkParameters(`pipeline "${workflowType}"`, pipeline.definition.params, parameters);
    if (!checked.ok)
      return await runPipeline(
        pipeline,
        {},
        { refusal: toFailure('InvalidParameter', checked.problems.join(' ')) },
      );
    return await runPipeline(pipeline, checked.values, { continuation });
  };
}
