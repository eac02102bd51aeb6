import type { StreamedMetric } from '../../activities/ports/executor.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { chunkKey } from '../../core/artifact-store.js';
import { readCommandEndMark } from '../../core/command-end-mark.js';
import { createMetricsParser } from '../attempt-files/metrics-tail.js';

/** What the agent of a pod stores of the stream of its command. */
export interface StoredMetrics {
  /** The points since the last call, each once. */
  next(): Promise<readonly StreamedMetric[]>;
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
  return {
    next: async () => {
      const points: StreamedMetric[] = [];
      for (;;) {
        const chunk = await store.readBytes(chunkKey(pod, 'metrics', next));
        if (chunk === undefined) return points;
        next++;
        if (chunk.length <= LONGEST_MARK)
          commandEndedAtMs ??= readCommandEndMark(new TextDecoder().decode(chunk));
        points.push(...parse(chunk));
      }
    },
    get commandEndedAtMs() {
      return commandEndedAtMs;
    },
  };
}
