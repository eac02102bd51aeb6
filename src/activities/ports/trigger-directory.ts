import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { TriggerEvent } from '../../core/triggers.js';
import type { Json } from '../../core/json.js';
import type { EndedRun } from './run-directory.js';
import type { RegisteredName } from './model-registry.js';

/** A run that an event starts. */
export interface TriggeredRun {
  readonly pipeline: string;
  readonly runId: string;
  readonly params: { readonly [name: string]: Json };
  readonly event: TriggerEvent;
}

/** What triggers watch, and how they start runs. */
export interface TriggerDirectory {
  /** Pipelines of the build that new runs use; undefined where this machine does not know them. */
  listPipelines(): Promise<readonly PipelineDefinition[] | undefined>;
  /** Runs of a pipeline that ended since then, however they ended, each once. */
  listEnds(pipeline: string, sinceMs: number): AsyncIterable<EndedRun>;
  /** Aliases and their moves; null where there is no such model, undefined where there is no registry. */
  readModel(model: string, signal: AbortSignal): Promise<RegisteredName | null | undefined>;
  /** Starts a run; one that was started before is left as it is. */
  start(run: TriggeredRun): Promise<void>;
}
