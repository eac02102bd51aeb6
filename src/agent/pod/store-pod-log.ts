import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { PodContext } from './pod-context.js';

/**
 * Stores the log of an attempt as one object, where readers of any attempt look for it. Of an attempt with an earlier pod the pieces of all
 * its pods stay what there is.
 */
export async function storeWholeLog({ store, place, paths }: PodContext): Promise<void> {
  if (await hasEarlierPod(store, place)) return;
  await store.putFile(storeKeys.log(place.executionId, place.attemptName), paths.log);
}

/** Removes the pieces of a log that is stored as a whole. */
export async function removeLogChunks({ store, place }: PodContext): Promise<void> {
  const whole = await store.stat(storeKeys.log(place.executionId, place.attemptName));
  if (whole !== undefined && !(await hasEarlierPod(store, place)))
    await store.removeAll(storeKeys.podChunks(place, 'logs'));
}

async function hasEarlierPod(store: ArtifactStore, place: PodContext['place']): Promise<boolean> {
  const own = storeKeys.podChunks(place, 'logs');
  const whole = storeKeys.log(place.executionId, place.attemptName);
  const all = `${storeKeys.attempt(place.executionId, place.attemptName)}logs/`;
  for await (const { key } of store.list(all)) if (key !== whole && !key.startsWith(own)) return true;
  return false;
}
