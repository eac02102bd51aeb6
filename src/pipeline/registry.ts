import type { StepDefinition } from '../core/step.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import type { TaskOptions } from './runtime.js';

/** Everything that was defined by the modules loaded so far, for the build's manifest. */
export interface RegisteredDefinitions {
  readonly pipelines: PipelineDefinition[];
  readonly steps: StepDefinition[];
  readonly tasks: { readonly name: string; readonly options: TaskOptions }[];
}

const registered: RegisteredDefinitions = { pipelines: [], steps: [], tasks: [] };

/** The definitions so far, in the order in which they were made. */
export function registeredDefinitions(): RegisteredDefinitions {
  return registered;
}

const pipelines = new Map<string, unknown>();

/** Keeps a pipeline for {@link findPipeline}; the last of a name wins. */
export function rememberPipeline(name: string, pipeline: unknown): void {
  pipelines.set(name, pipeline);
}

/** The pipeline of a name, of the modules loaded so far. For the testing kit: real sub-pipelines are started by name. */
export function findPipeline(name: string): unknown {
  return pipelines.get(name);
}
