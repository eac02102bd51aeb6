import type { StreamedMetric } from '../../activities/ports/executor.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { chunkKey } from '../../core/artifact-store.js';
import { createMetricsParser } from '../attempt-files/metrics-tail.js';

/** The points that the agent of a pod has stored since the last call, each once. */
export type StoredMetrics = () => Promise<readonly StreamedMetric[]>;

/** Reads the stream of metrics of one pod piece by piece. */
export function createStoredMetrics(
  store: ArtifactStore,
  pod: { readonly executionId: string; readonly attemptName: string; readonly podUid: string },
  startedAtMs: number,
): StoredMetrics {
  const parse = createMetricsParser(startedAtMs);
  let next = 0;
  return async () => {
    const points: StreamedMetric[] = [];
    for (;;) {
      const chunk = await store.readBytes(chunkKey(pod, 'metrics', next));
      if (chunk === undefined) return points;
      next++;
      points.push(...parse(chunk));
    }
  };
}
