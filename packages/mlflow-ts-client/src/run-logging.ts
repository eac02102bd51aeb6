import type { Api } from './api.js';
import { splitBatch, type LogBatch, type MetricPoint } from './batches.js';
import { CLIENT_ERROR_CODES, isMlflowError } from './errors.js';
import type { Dataset, Run } from './run-schemas.js';
import type { CallOptions } from './transport.js';
import { toPairs, wireNothing, type StringMap } from './wire.js';

/** A batch for one run. */
export interface LogBatchRequest extends LogBatch {
  readonly runId: string;
}

/** A key and value on a run. */
export interface RunEntry {
  readonly runId: string;
  readonly key: string;
  readonly value: string;
}

/** What went into a run. */
export interface LogInputs {
  readonly runId: string;
  /** `digest` has 36 characters at most, so no whole sha256. A tag `mlflow.data.context` says what for. */
  readonly datasets?:
    readonly { readonly dataset: Dataset; readonly tags?: StringMap | undefined }[] | undefined;
  readonly models?: readonly { readonly modelId: string }[] | undefined;
}

/** Models that came out of a run. */
export interface LogOutputs {
  readonly runId: string;
  readonly models: readonly { readonly modelId: string; readonly step?: number | undefined }[];
}

/** The part of the run calls that writes into an existing run. All of it may be repeated. */
export interface RunLogging {
  /**
   * Any number of metrics, parameters and tags, sent in as many requests as MLflow's limits ask, parameters and tags
   * first. Not atomic: an error leaves the earlier requests in place; repeating the whole call is safe when the
   * metrics' timestamps are those of the events. Returns the number of requests.
   */
  readonly logBatch: (batch: LogBatchRequest, options?: CallOptions) => Promise<number>;
  readonly logMetric: (
    metric: MetricPoint & { readonly runId: string },
    options?: CallOptions,
  ) => Promise<void>;
  /** The same value again is fine; another value is refused with INVALID_PARAMETER_VALUE. */
  readonly logParameter: (entry: RunEntry, options?: CallOptions) => Promise<void>;
  readonly setTag: (entry: RunEntry, options?: CallOptions) => Promise<void>;
  /** Repeats are merged by dataset name and digest; the tags of an input that is there already do not change. */
  readonly logInputs: (inputs: LogInputs, options?: CallOptions) => Promise<void>;
  /** MLflow refuses a model that the run has already, so this sends only what is missing. */
  readonly logOutputs: (outputs: LogOutputs, options?: CallOptions) => Promise<void>;
}

/** Makes the calls that write into a run. */
export function createRunLogging(
  api: Api,
  getRun: (runId: string, options?: CallOptions) => Promise<Run>,
): RunLogging {
  const post = (
    path: string,
    body: Readonly<Record<string, unknown>>,
    options: CallOptions | undefined,
  ): Promise<void> => api.call({ ...options, method: 'POST', path, body, schema: wireNothing });
  return {
    logBatch: async ({ runId, ...batch }, options) => {
      const parts = splitBatch(batch);
      for (const part of parts) await post('runs/log-batch', { runId, ...part }, options);
      return parts.length;
    },
    logMetric: (metric, options) => post('runs/log-metric', { ...metric }, options),
    logParameter: (entry, options) => post('runs/log-parameter', { ...entry }, options),
    setTag: (entry, options) => post('runs/set-tag', { ...entry }, options),
    logInputs: ({ runId, datasets, models }, options) => {
      const inputs = datasets?.map(({ dataset, tags }) => ({ dataset, tags: toPairs(tags) }));
      return post('runs/log-inputs', { runId, datasets: inputs, models }, options);
    },
    logOutputs: async (outputs, options) => {
      const missing = await findMissing(getRun, outputs, options);
      if (missing.length === 0) return;
      const models = missing.map(({ modelId, step }) => ({ modelId, step: step ?? 0 }));
      try {
        await post('runs/outputs', { runId: outputs.runId, models }, options);
      } catch (error) {
        const mayBeThere =
          isMlflowError(error, CLIENT_ERROR_CODES.WRITE_CONFLICT) || isMlflowError(error, 'BAD_REQUEST');
        if (!mayBeThere || (await findMissing(getRun, outputs, options)).length > 0) throw error;
      }
    },
  };
}

async function findMissing(
  getRun: (runId: string, options?: CallOptions) => Promise<Run>,
  { runId, models }: LogOutputs,
  options: CallOptions | undefined,
): Promise<LogOutputs['models']> {
  const run = await getRun(runId, options);
  const known = new Set(run.outputs.modelOutputs.map(({ modelId }) => modelId));
  return models.filter(({ modelId }) => !known.has(modelId));
}
