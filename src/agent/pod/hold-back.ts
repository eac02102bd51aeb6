import { setTimeout as delay } from 'node:timers/promises';

import { readStoredOutcome } from '../../adapters/attempt-files/stored-outcome.js';
import type { PodContext } from './pod-context.js';
import { readVolumeText, writeVolumeText } from './volume-files.js';

/** While the step's image is pulled; who cancels gives a pod that has not begun ten seconds before it is taken for gone. */
const EVERY_MS = 4_000;

/**
 * Until the step's command has begun, sees to it that it does not where its attempt has ended meanwhile: a node that is pulling an image starts the
 * container when it has it, although the pod is to be deleted, or already was.
 */
export function holdBack(
  { store, place, paths, clock }: PodContext,
  everyMs = EVERY_MS,
): { end(): Promise<void> } {
  const ends = new AbortController();
  const { signal } = ends;
  const { root } = paths;
  const hasEnded = async () => {
    // A store that is away for a moment is asked again.
    const found = await readStoredOutcome(store, {
      executionId: place.executionId,
      name: place.attemptName,
    }).catch(() => undefined);
    return found !== undefined;
  };
  const watching = (async () => {
    for (;;) {
      await delay(everyMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || (await readVolumeText(root, paths.started)) !== undefined) return;
      if (!(await hasEnded())) continue;
      await writeVolumeText(root, paths.over, String(clock.nowMs()));
      return;
    }
  })();
  return {
    end: async () => {
      ends.abort();
      await watching;
    },
  };
}
