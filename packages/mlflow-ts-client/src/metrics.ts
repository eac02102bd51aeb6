import { z } from 'zod';
import type { Api } from './api.js';
import { allPages, type Page, type PageRequest } from './paging.js';
import { metricSchema, type Metric } from './run-schemas.js';
import type { CallOptions } from './transport.js';
import { wirePageToken } from './wire.js';

/** Whose history of which metric. */
export interface MetricHistoryRequest extends PageRequest {
  readonly runId: string;
  readonly metricKey: string;
}

/** Calls on metrics; writing them is part of the run calls. */
export interface Metrics {
  /** One page; everything at once when `maxResults` is absent. */
  readonly getHistory: (request: MetricHistoryRequest, options?: CallOptions) => Promise<Page<Metric>>;
  /** All pages of {@link Metrics.getHistory}. */
  readonly getWholeHistory: (
    request: MetricHistoryRequest,
    options?: CallOptions,
  ) => AsyncGenerator<Metric, void>;
}

/** Makes the calls on metrics. */
export function createMetrics(api: Api): Metrics {
  const getHistory: Metrics['getHistory'] = (request, options) =>
    api.call({
      ...options,
      method: 'GET',
      path: 'metrics/get-history',
      query: { ...request },
      schema: historySchema,
    });
  return {
    getHistory,
    getWholeHistory: allPages((request: MetricHistoryRequest, options) =>
      getHistory({ maxResults: 10_000, ...request }, options),
    ),
  };
}

const historySchema = z
  .object({ metrics: z.array(metricSchema).default([]), nextPageToken: wirePageToken })
  .transform(({ metrics, nextPageToken }) => ({ items: metrics, nextPageToken }));
