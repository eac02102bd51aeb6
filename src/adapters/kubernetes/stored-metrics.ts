import type { StreamedMetric } from '../../activities/ports/executor.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { chunkKey } from '../../core/artifact-store.js';
import { readCommandEndMark } from '../../core/command-end-mark.js';
import { createMetricsParser } from '../attempt-files/metrics-tail.js';

/** What the agent of a pod stores of the stream of its command. */
export interface StoredMetrics {
  /**
   * The points since the last call, each once, as far as they can be read within about that time. What a store that is away keeps back comes with
   * a later call.
   */
  next(withinMs?: number): Promise<readonly StreamedMetric[]>;
  /** Whether the last call ended with its time, and not with the stream. */
  readonly isBehind: boolean;
  /** When its command ended, where that has been read. */
  readonly commandEndedAtMs: number | undefined;
}

const LONGEST_MARK = 64;

/** Reads the stream of metrics of one pod piece by piece. */
export function createStoredMetrics(
  store: ArtifactStore,
  pod: { readonly executionId: string; readonly attemptName: string; readonly podUid: string },
  startedAtMs: number,
): StoredMetrics {
  const parse = createMetricsParser(startedAtMs);
  let next = 0;
  let commandEndedAtMs: number | undefined;
  let isBehind = false;
  return {
    next: async (withinMs = Infinity) => {
      const points: StreamedMetric[] = [];
      const endsAt = performance.now() + withinMs;
      for (;;) {
        isBehind = performance.now() >= endsAt;
        if (isBehind) return points;
        // A piece that was read is not read again: what it held is given out, whatever becomes of the next one.
        const chunk = await store.readBytes(chunkKey(pod, 'metrics', next)).catch(() => undefined);
        if (chunk === undefined) return points;
        next++;
        if (chunk.length <= LONGEST_MARK)
          commandEndedAtMs ??= readCommandEndMark(new TextDecoder().decode(chunk));
        points.push(...parse(chunk));
      }
    },
    get isBehind() {
      return isBehind;
    },
    get commandEndedAtMs() {
      return commandEndedAtMs;
    },
  };
}
