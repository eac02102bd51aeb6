export { createMlflowClient, type MlflowClient, type MlflowClientOptions } from './client.js';
export { readMlflowEnvironment, type MlflowEnvironment } from './environment.js';
export {
  CLIENT_ERROR_CODES,
  isMlflowError,
  MlflowError,
  type ClientErrorCode,
  type MlflowErrorDetails,
} from './errors.js';
export { allOf, attributeFilter, filterValue, tagFilter } from './filters.js';
export { encodeArtifactPath } from './artifact-location.js';
export { BATCH_LIMITS, type LogBatch, type MetricPoint } from './batches.js';
export { RUN_STATUSES, type Dataset, type Metric, type Run, type RunStatus } from './run-schemas.js';
export type { ArtifactSource } from './artifact-files.js';
export type { ArtifactFile, ArtifactOf, Artifacts, ListArtifacts } from './artifacts.js';
export type { CreateExperiment, Experiment, Experiments, ExperimentTag } from './experiments.js';
export type {
  CreateLoggedModel,
  FinalizeLoggedModel,
  LoggedModel,
  LoggedModels,
  LoggedModelTags,
  SearchLoggedModels,
} from './logged-models.js';
export type { MetricHistoryRequest, Metrics } from './metrics.js';
export type {
  CreateModelVersion,
  ModelVersion,
  ModelVersions,
  SearchModelVersions,
  VersionOf,
} from './model-versions.js';
export type { Page, PageRequest } from './paging.js';
export type {
  AliasOf,
  AliasWriteOptions,
  CreateRegisteredModel,
  RegisteredModel,
  RegisteredModels,
  RegisteredModelTag,
  SearchRegisteredModels,
} from './registered-models.js';
export type { RetryOptions, Sleep } from './retry.js';
export type { LogBatchRequest, LogInputs, LogOutputs, RunEntry, RunLogging } from './run-logging.js';
export type { CreateRun, Runs, SearchRuns, UpdateRun } from './runs.js';
export type { ServerCalls } from './server.js';
export type { CallOptions, MlflowAuth } from './transport.js';
export type { StringMap } from './wire.js';
