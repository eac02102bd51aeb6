import type { Answer } from './fake-mlflow-wire.js';

/** One point of a metric. */
export interface Metric {
  key: string;
  value: number;
  timestamp: number;
  step: number;
  model_id?: string;
}
/** A run. */
export interface FakeRun {
  info: {
    run_id: string;
    run_name: string;
    experiment_id: string;
    status: string;
    start_time: number;
    end_time?: number;
  };
  tags: Map<string, string>;
  params: Map<string, string>;
  metrics: Metric[];
  outputs: { model_id: string; step: number }[];
  datasets: unknown[];
}
/** A LoggedModel. */
export interface FakeModel {
  info: {
    model_id: string;
    experiment_id: string;
    name: string;
    artifact_uri: string;
    status: string;
    source_run_id?: string;
    creation_timestamp_ms: number;
  };
  tags: Map<string, string>;
}
/** A version. */
export interface FakeVersion {
  name: string;
  version: string;
  source: string;
  run_id?: string;
  model_id?: string;
  description?: string;
  tags: Map<string, string>;
}
/** One request. */
export interface FakeRequest {
  readonly call: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

/** Everything the fake server holds, and what each call does to it, in MLflow's wire shapes. */
export interface FakeState {
  readonly experiments: Map<
    string,
    { experiment_id: string; name: string; lifecycle_stage: string; tags: Map<string, string> }
  >;
  readonly runs: FakeRun[];
  readonly models: FakeModel[];
  readonly registered: Map<string, { name: string; aliases: Map<string, string>; tags: Map<string, string> }>;
  readonly versions: FakeVersion[];
  readonly artifacts: Map<string, Buffer>;
  execute(request: FakeRequest): Answer;
}
