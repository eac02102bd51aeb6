import type { StepDefinition } from '../core/step.js';
import type { PipelineDefinition } from './define-pipeline.js';
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
