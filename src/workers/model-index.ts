import { setTimeout as wait } from 'node:timers/promises';
import { connectModelIndex } from '../adapters/mlflow/connect.js';
import type { ModelIndex } from '../core/lineage.js';

/** MLflow's registry at an address, for the question where a model comes from. Nothing is asked before that. */
export function openModelIndex(options: {
  readonly trackingUri: string;
  readonly env: NodeJS.ProcessEnv;
}): ModelIndex {
  const clock = {
    nowMs: () => Date.now(),
    sleep: async (ms: number, signal: AbortSignal) => {
      await wait(ms, undefined, { signal });
    },
  };
  return connectModelIndex({ ...options, clock });
}
