import type { NotifyOptions } from '../core/notification-routes.js';
import { budgetProblem } from '../core/budget.js';
import type { TriggerDefinition, TriggerParameter } from '../core/triggers.js';
import type { PartitionDefinition } from '../core/partitions.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import type { ScheduleDefinition } from '../core/schedule-definition.js';
import { checkName } from './check-name.js';
import { handled } from './handled.js';
import { registeredDefinitions, rememberPipeline } from './registry.js';
import { currentRuntime } from './runtime.js';
import type { AnyParameter, ArgumentsOf, ValuesOf } from './slots.js';

/** A schedule whose parameters are the pipeline's own. */
export type ScheduleOf<P> = Omit<ScheduleDefinition, 'params'> & { readonly params?: Partial<ValuesOf<P>> };

/** A trigger whose parameters are the pipeline's own: values, or members of the event such as `{ from: 'result.version' }`. */
export type TriggerOf<P> = TriggerDefinition & {
  readonly params?: { readonly [name in keyof P & string]?: TriggerParameter };
};

/** A partition whose key is one of the pipeline's own parameters. */
export type PartitionOf<P> = PartitionDefinition & { readonly parameter: keyof P & string };

/** What {@link definePipeline} takes beside the function. */
export interface PipelineOptions<P> {
  /** The workflow type: lower-case letters, digits and dashes, 63 at most. */
  readonly name: string;
  readonly description?: string;
  readonly params?: P;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly schedule?: ScheduleOf<NoInfer<P>>;
  /** What starts runs beside the schedule: ends of other pipelines' runs, moves of aliases. Each event once. */
  readonly triggers?: readonly TriggerOf<NoInfer<P>>[];
  /** Each run makes one part of the data, named by a parameter; `anneal backfill` makes many. */
  readonly partition?: PartitionOf<NoInfer<P>>;
  /** Who is told of its runs: e-mail addresses, `slack:<name>` and `webhook:<name>` of anneal.yaml. */
  readonly notify?: NotifyOptions;
  readonly maxActiveRuns?: number;
  /**
   * What a run may cost, in the currency of the pools' `pricePerHour`. At 80 % people are told; when it is spent, what runs is stopped after
   * its checkpoints and the run fails with `BudgetExceeded`. Default: no limit.
   */
  readonly budget?: number;
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
  const wrongBudget = options.budget === undefined ? undefined : budgetProblem(options.budget);
  if (wrongBudget !== undefined) throw new TypeError(`Pipeline "${options.name}": ${wrongBudget}`);
  const { params, schedule, ...rest } = options;
  const definition: PipelineDefinition = {
    ...rest,
    params: Object.fromEntries(
      Object.entries(params ?? {}).map(([name, parameter]) => [name, parameter.schema]),
    ),
    ...(schedule === undefined ? {} : { schedule: schedule as ScheduleDefinition }),
    tags: options.tags ?? [],
    notify: options.notify ?? {},
  };
  registeredDefinitions().pipelines.push(definition);
  const ask = async (given: ArgumentsOf<P>) =>
    (await currentRuntime(`Pipeline "${options.name}"`).pipeline(options.name, given)) as R;
  const call = (given: ArgumentsOf<P>) => handled(ask(given));
  const pipeline = Object.assign(call, { pipelineName: options.name, definition, run });
  rememberPipeline(options.name, pipeline);
  return pipeline;
}

/** Whether a module's export is a pipeline. */
export function isPipeline(value: unknown): value is Pipeline<object, unknown> {
  return typeof value === 'function' && 'pipelineName' in value && 'run' in value;
}
