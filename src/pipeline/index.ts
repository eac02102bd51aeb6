export { defineStep, type Step, type ArtifactPath } from './define-step.js';
export { definePipeline, type Pipeline } from './define-pipeline.js';
export { defineCommand, type StepCommand } from './define-command.js';
export { defineTask, type Task } from './define-task.js';
export {
  artifact,
  boolean,
  dataset,
  integer,
  json,
  metrics,
  model,
  number,
  report,
  string,
} from './slots.js';
export {
  approval,
  champion,
  cleanup,
  demote,
  failureCode,
  log,
  notify,
  now,
  pinDataset,
  promote,
  random,
  registerModel,
  rollback,
  secret,
  sleep,
} from './flow.js';
export { parallelMap, type ItemResult, type ParallelOptions } from './parallel-map.js';
export type { StepOptions, ApprovalOptions } from './runtime.js';
export type { ArtifactRef } from '../core/artifacts.js';
export type { TriggerDefinition } from '../core/triggers.js';
export type { PartitionDefinition } from '../core/partitions.js';
export type { PipelineDefinition } from '../core/pipeline-definition.js';
export type { CalendarTimes, IntervalTimes, ScheduleDefinition } from '../core/schedule-definition.js';
export type { FailureCode } from '../core/failures.js';
