import type { StringMap } from './wire.js';
import { toPairs, toWire } from './wire.js';

/** MLflow's limits for one `runs/log-batch`; `bytes` stays a little under its 1 MB for the envelope. */
export const BATCH_LIMITS = { metrics: 1000, params: 100, tags: 100, entries: 1000, bytes: 950_000 } as const;

/** A point to log. */
export interface MetricPoint {
  readonly key: string;
  /** NaN and the infinities are fine. */
  readonly value: number;
  /** Milliseconds since the epoch, of the event: the same point again is dropped only with the same timestamp. */
  readonly timestamp: number;
  readonly step?: number | undefined;
  readonly modelId?: string | undefined;
  readonly datasetName?: string | undefined;
  readonly datasetDigest?: string | undefined;
}

/** What to log in one go, without limits. */
export interface LogBatch {
  readonly metrics?: readonly MetricPoint[] | undefined;
  readonly params?: StringMap | undefined;
  readonly tags?: StringMap | undefined;
}

/** What fits in one request. */
export interface BatchPart {
  readonly metrics: readonly MetricPoint[];
  readonly params: readonly { readonly key: string; readonly value: string }[];
  readonly tags: readonly { readonly key: string; readonly value: string }[];
}

/** Cuts a batch into requests within {@link BATCH_LIMITS}; an entry larger than a request goes alone. */
export function splitBatch(batch: LogBatch): BatchPart[] {
  const parts: OpenPart[] = [];
  for (const item of toPairs(batch.params) ?? [])
    openPart(parts, 'params', byteLength(item)).params.push(item);
  for (const item of toPairs(batch.tags) ?? []) openPart(parts, 'tags', byteLength(item)).tags.push(item);
  for (const item of batch.metrics ?? []) openPart(parts, 'metrics', byteLength(item)).metrics.push(item);
  return parts.map(({ metrics, params, tags }) => ({ metrics, params, tags }));
}

interface OpenPart {
  readonly metrics: MetricPoint[];
  readonly params: { key: string; value: string }[];
  readonly tags: { key: string; value: string }[];
  bytes: number;
}

/** The last part if one more entry of that kind fits, else a new one. */
function openPart(parts: OpenPart[], kind: 'metrics' | 'params' | 'tags', bytes: number): OpenPart {
  const last = parts.at(-1);
  if (last !== undefined) {
    const entries = last.metrics.length + last.params.length + last.tags.length;
    const fits = last[kind].length < BATCH_LIMITS[kind] && entries < BATCH_LIMITS.entries;
    if (fits && last.bytes + bytes <= BATCH_LIMITS.bytes) {
      last.bytes += bytes;
      return last;
    }
  }
  const next: OpenPart = { metrics: [], params: [], tags: [], bytes };
  parts.push(next);
  return next;
}

function byteLength(item: object): number {
  return Buffer.byteLength(JSON.stringify(toWire(item))) + 1;
}
