import { open } from 'node:fs/promises';

import type { StreamedMetric } from '../../activities/ports/executor.js';

/** The next points of a metrics stream; none at its end, as it is then. */
export type MetricsTail = () => Promise<readonly StreamedMetric[]>;

/**
 * Tails a file of JSON lines `{"step": 20, "metrics": {"loss": 0.3}, "timestamp": <ms, optional>}`. Lines that are something else are
 * left out; a line without its end waits for it.
 *
 * A point's time is its line's own, else the start of the attempt plus the line's number in milliseconds: the same for every worker
 * that reads the stream.
 */
export function createMetricsTail(file: string, startedAtMs: number): MetricsTail {
  let offset = 0;
  const parse = createMetricsParser(startedAtMs);
  return async () => {
    // A piece may hold no point, and the next one thousands.
    for (;;) {
      const chunk = await readFrom(file, offset);
      if (chunk.length === 0) return [];
      offset += chunk.length;
      const points = parse(chunk);
      if (points.length > 0) return points;
    }
  };
}

/** A longer line holds no points: who reads serves other attempts, too. */
const LINE_BYTES = 1 << 20;

/** Reads the points of a metrics stream that comes in pieces, from its beginning, each point once. */
export function createMetricsParser(startedAtMs: number): (chunk: Uint8Array) => StreamedMetric[] {
  let lineNumber = 0;
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const bytes = Buffer.concat([rest, chunk]);
    const end = bytes.lastIndexOf(0x0a) + 1;
    rest = bytes.subarray(end);
    // Its beginning is kept: with what follows it is no JSON.
    if (rest.length > LINE_BYTES) rest = rest.subarray(0, LINE_BYTES);
    const lines =
      end === 0
        ? []
        : bytes
            .subarray(0, end - 1)
            .toString('utf8')
            .split('\n');
    return lines.flatMap((line) => readPoints(line, startedAtMs + lineNumber++));
  };
}

/** A stream that grew by more is read in several turns. */
const CHUNK_BYTES = 1 << 20;

async function readFrom(file: string, offset: number): Promise<Buffer> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return Buffer.alloc(0);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function readPoints(line: string, defaultTimestampMs: number): StreamedMetric[] {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch {
    return [];
  }
  if (content === null || typeof content !== 'object' || !('metrics' in content)) return [];
  const { metrics } = content;
  if (metrics === null || typeof metrics !== 'object') return [];
  const step = 'step' in content && typeof content.step === 'number' ? content.step : 0;
  const timestampMs =
    'timestamp' in content && typeof content.timestamp === 'number' ? content.timestamp : defaultTimestampMs;
  return Object.entries(metrics).flatMap(([name, value]) =>
    typeof value === 'number' && Number.isFinite(value) ? [{ name, value, step, timestampMs }] : [],
  );
}
