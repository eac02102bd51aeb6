import type { NotifyOptions } from './notification-routes.js';
import type { PartitionDefinition } from './partitions.js';
import type { ScheduleDefinition } from './schedule-definition.js';
import type { TriggerDefinition } from './triggers.js';
import type { ParameterSchema } from './schema.js';

/** Everything about a pipeline that is data; it is in the build's manifest. */
export interface PipelineDefinition {
  readonly name: string;
  readonly description?: string;
  readonly params: { readonly [name: string]: ParameterSchema };
  readonly owner?: string;
  readonly tags: readonly string[];
  readonly schedule?: ScheduleDefinition;
  /** What starts runs beside the schedule. */
  readonly triggers?: readonly TriggerDefinition[];
  /** How its data is cut, where each run makes one part. */
  readonly partition?: PartitionDefinition;
  /** Who is told of its runs. */
  readonly notify: NotifyOptions;
  /** Runs that may be open at once; others wait in the order in which they came. Default: no limit. */
  readonly maxActiveRuns?: number;
  /** What the attempts of a run may cost on pools with a price. Default: no limit. */
  readonly budget?: number;
}
