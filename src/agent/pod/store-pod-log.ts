import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { PodContext } from './pod-context.js';
import { openVolumeFile } from './volume-files.js';

/**
 * Stores the log of an attempt as one object, where readers of any attempt look for it. Of an attempt with an earlier pod the pieces of all
 * its pods stay what there is.
 */
export async function storeWholeLog({ store, place, paths }: PodContext): Promise<void> {
  const log = await openVolumeFile(paths.root, paths.log);
  await log?.close();
  // A command that put something else in the place of its log has none.
  if (log === undefined || (await hasEarlierPod(store, place))) return;
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
