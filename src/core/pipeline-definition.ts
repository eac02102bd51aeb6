import type { Json } from './json.js';
import type { NotifyOptions } from './notification-routes.js';
import type { ParameterSchema } from './schema.js';

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
  /** Who is told of its runs. */
  readonly notify: NotifyOptions;
  /** Runs that may be open at once; others wait in the order in which they came. Default: no limit. */
  readonly maxActiveRuns?: number;
}
