import { z } from 'zod';
import { wireDouble, wireId, wireInteger, wirePairs } from './wire.js';

/** MLflow's run states. */
export const RUN_STATUSES = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const;

/** One of {@link RUN_STATUSES}. */
export type RunStatus = (typeof RUN_STATUSES)[number];

/** One point of a metric. */
export const metricSchema = z.object({
  key: z.string(),
  value: wireDouble,
  timestamp: wireInteger.default(0),
  step: wireInteger.default(0),
  modelId: z.string().optional(),
  datasetName: z.string().optional(),
  datasetDigest: z.string().optional(),
});

const runInfoSchema = z.object({
  runId: z.string(),
  runName: z.string().optional(),
  experimentId: wireId,
  userId: z.string().optional(),
  status: z.enum(RUN_STATUSES),
  startTime: wireInteger.optional(),
  endTime: wireInteger.optional(),
  artifactUri: z.string().optional(),
  lifecycleStage: z.string().default('active'),
});

const datasetSchema = z.object({
  name: z.string(),
  digest: z.string(),
  sourceType: z.string(),
  source: z.string(),
  schema: z.string().optional(),
  profile: z.string().optional(),
});

/** A run as `runs/get` and `runs/search` answer it. */
export const runSchema = z.object({
  info: runInfoSchema,
  data: z
    .object({ metrics: z.array(metricSchema).default([]), params: wirePairs, tags: wirePairs })
    .prefault({}),
  inputs: z
    .object({
      datasetInputs: z.array(z.object({ tags: wirePairs, dataset: datasetSchema })).default([]),
      modelInputs: z.array(z.object({ modelId: z.string() })).default([]),
    })
    .prefault({}),
  outputs: z
    .object({
      modelOutputs: z.array(z.object({ modelId: z.string(), step: wireInteger.default(0) })).default([]),
    })
    .prefault({}),
});

/** A run: `data.metrics` holds only the latest point per metric; times are milliseconds since the epoch. */
export type Run = z.infer<typeof runSchema>;

/** One point of a metric; `timestamp` is milliseconds since the epoch. */
export type Metric = z.infer<typeof metricSchema>;

/** A dataset of a run; `source`, `schema` and `profile` are JSON text. */
export type Dataset = z.infer<typeof datasetSchema>;
