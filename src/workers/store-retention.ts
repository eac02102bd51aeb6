import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { BUILD_FILES } from './build/build-manifest.js';
import { readStoredManifest } from './fetch-build.js';
import { readDeployments } from './store-deployments.js';
import { listStoredBuilds } from './stored-builds.js';

/** Builds that are kept whatever runs use: somebody may go back to one. */
const KEPT = 3;

/** The store of a project whose builds are looked at. */
export interface StoredBuildPlace {
  readonly store: ArtifactStore;
  readonly project: string;
  readonly clock: { nowMs(): number };
  /** Builds that a machine's directory names, and those that workers host. */
  readonly listUsed: () => Promise<readonly string[]>;
}

/** Digests of builds in the store that may go when no open run mentions them, least used first. */
export async function listOldStoredBuilds(place: StoredBuildPlace, beforeMs: number): Promise<string[]> {
  const used = await readUsed(place);
  const stored = (await listStoredBuilds(place.store)).sort((a, b) => a.usedAtMs - b.usedAtMs);
  const newest = new Set(stored.filter(({ whole }) => whole).slice(-KEPT));
  const old: string[] = [];
  for (const build of stored)
    if (!newest.has(build) && !used.has(build.digest) && build.usedAtMs < beforeMs)
      if (await isOwn(place, build.digest)) old.push(build.digest);
  return old;
}

/**
 * Removes builds from the store. One that has come into use meanwhile stays: what is removed has a mark from before the last look until it is
 * gone, and who puts a build there says that it is used and then waits until the mark is gone, so that one of both sees the other.
 * @returns those that went.
 */
export async function removeStoredBuilds(
  place: StoredBuildPlace,
  digests: readonly string[],
  beforeMs: number,
): Promise<string[]> {
  const { store, clock } = place;
  const removed: string[] = [];
  for (const digest of digests) {
    const mark = storeKeys.leavingBuild(digest);
    await store.putBytes(mark, Buffer.from(JSON.stringify({ version: 1, atMs: clock.nowMs() })));
    try {
      const [found] = await listStoredBuilds(store, digest);
      if (found === undefined || found.usedAtMs >= beforeMs || (await readUsed(place)).has(digest)) continue;
      // The manifest first: what has none is not there, and one that dies here leaves no build that looks whole.
      await store.remove([storeKeys.build(digest) + BUILD_FILES.manifest]);
      await store.removeAll(storeKeys.build(digest));
      removed.push(digest);
    } finally {
      await store.remove([mark]);
    }
  }
  return removed;
}

async function readUsed({ store, project, clock, listUsed }: StoredBuildPlace): Promise<ReadonlySet<string>> {
  const { routing, wanted } = await readDeployments({ store, project }, clock.nowMs());
  const named = [routing?.current, routing?.ramp?.digest, routing?.previous];
  return new Set([...named.filter((digest) => digest !== undefined), ...wanted, ...(await listUsed())]);
}

/** Code without a manifest was put there by a worker, for pods. What cannot be read is left to its version. */
async function isOwn({ store, project }: StoredBuildPlace, digest: string): Promise<boolean> {
  const manifest = await readStoredManifest(store, digest).catch(() => null);
  return manifest === undefined || manifest?.project === project;
}
