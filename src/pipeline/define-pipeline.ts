import type { Json } from '../core/json.js';
import type { ParameterSchema } from '../core/schema.js';
import { checkName } from './define-step.js';
import { registeredDefinitions, rememberPipeline } from './registry.js';
import { currentRuntime } from './runtime.js';
import type { AnyParameter, ArgumentsOf, ValuesOf } from './slots.js';

/** When a pipeline starts by itself. */
export interface ScheduleDefinition {
  /** Five fields, such as `'0 2 * * *'`. */
  readonly cron: string;
  /** IANA zone. Default `'UTC'`. */
  readonly timezone?: string;
  /** What happens when the last run is still open at the next time. Default `'skip'`. */
  readonly overlap?: 'skip' | 'buffer-one' | 'allow-all';
  /** Parameters of the runs it starts; default: the pipeline's defaults. */
  readonly params?: { readonly [name: string]: Json };
}

/** Everything about a pipeline that is data; it is in the build's manifest. */
export interface PipelineDefinition {
  readonly name: string;
  readonly description?: string;
  readonly params: { readonly [name: string]: ParameterSchema };
  readonly owner?: string;
  readonly tags: readonly string[];
  readonly schedule?: ScheduleDefinition;
  /** Who is told by e-mail when a run fails. */
  readonly notify: { readonly onFailure?: readonly string[] };
  /** Runs that may be open at once; others wait in the order in which they came. Default: no limit. */
  readonly maxActiveRuns?: number;
}

/** What {@link definePipeline} takes beside the function. */
export interface PipelineOptions<P> {
  /** The workflow type: lower-case letters, digits and dashes, 63 at most. */
  readonly name: string;
  readonly description?: string;
  readonly params?: P;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly schedule?: ScheduleDefinition;
  readonly notify?: { readonly onFailure?: readonly string[] };
  readonly maxActiveRuns?: number;
}

/** A pipeline. Called from inside another pipeline it runs as a run of its own, below the caller's. */
export interface Pipeline<P, R> {
  (params: ArgumentsOf<P>): Promise<R>;
  readonly pipelineName: string;
  readonly definition: PipelineDefinition;
  /** The function itself; called by the dispatcher with checked parameters. */
  readonly run: (params: ValuesOf<P>) => Promise<R>;
}

/**
 * Defines a pipeline: a function of plain control flow over steps, tasks, sleeps and approvals. A pipeline that returns
 * `{ promoted: false }` ends with the state `not-promoted`.
 */
export function definePipeline<
  const P extends { readonly [name: string]: AnyParameter } = Record<never, never>,
  R = unknown,
>(options: PipelineOptions<P>, run: (params: ValuesOf<P>) => Promise<R>): Pipeline<P, R> {
  checkName('Pipeline name', options.name);
  const { params, ...rest } = options;
  const definition: PipelineDefinition = {
    ...rest,
    params: Object.fromEntries(
      Object.entries(params ?? {}).map(([name, parameter]) => [name, parameter.schema]),
    ),
    tags: options.tags ?? [],
    notify: options.notify ?? {},
  };
  registeredDefinitions().pipelines.push(definition);
  const call = async (given: ArgumentsOf<P>) =>
    (await currentRuntime(`Pipeline "${options.name}"`).pipeline(
      options.name,
      given as { readonly [name: string]: Json },
    )) as R;
  const pipeline = Object.assign(call, { pipelineName: options.name, definition, run });
  rememberPipeline(options.name, pipeline);
  return pipeline;
}

/** Whether a module's export is a pipeline. */
export function isPipeline(value: unknown): value is Pipeline<object, unknown> {
  return typeof value === 'function' && 'pipelineName' in value && 'run' in value;
}
