import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { BUILD_FILES, type Build } from './build/build-manifest.js';
import { verifyBuild } from './build/verify-build.js';
import { completeStepCode, isStored } from './ship-step-code.js';

/** The part of a store that builds are put into. */
type ShipStore = Pick<ArtifactStore, 'putBytes' | 'putFile' | 'readBytes' | 'stat' | 'list' | 'remove'>;

/** How long the removal of a build is waited for. */
export interface RemovalPatience {
  /** Default: a minute. A removal takes seconds; a mark that stands longer was left by one that was killed. */
  readonly patienceMs?: number;
  /** Time between two looks. Default: half a second. */
  readonly pollMs?: number;
}

/**
 * Puts a build into the store, its manifest last: one with a manifest is whole. What is there already stays; the manifest is written in any
 * case, so that the build counts as used now. A removal that is under way is waited for; one that had decided before is seen by those who
 * put the build there once more when the store says that it is used.
 * @throws AnnealError BuildFailed for a build that does not have its digest; StoreUnavailable.
 */
export async function shipBuild(
  store: ShipStore,
  build: Build,
  patience: RemovalPatience = {},
): Promise<void> {
  await verifyBuild(build);
  await untilNotLeaving(store, build.digest, patience);
  const { digest, dir, manifest } = build;
  const prefix = storeKeys.build(digest);
  const stored = new Map<string, number>();
  for await (const { key, sizeBytes } of store.list(prefix)) stored.set(key, sizeBytes);
  for (const name of await bundleFiles(build)) {
    const file = path.join(dir, name);
    if (!(await isStored(store, { key: prefix + name, file }, stored)))
      await store.putFile(prefix + name, file);
  }
  for (const { name: step } of manifest.steps)
    await completeStepCode(store, { build: digest, step, dir }, stored);
  await store.putFile(prefix + BUILD_FILES.manifest, path.join(dir, BUILD_FILES.manifest));
}

async function untilNotLeaving(
  store: ShipStore,
  digest: string,
  { patienceMs = 60_000, pollMs = 500 }: RemovalPatience,
): Promise<void> {
  const mark = storeKeys.leavingBuild(digest);
  for (let waitedMs = 0; (await store.stat(mark)) !== undefined; waitedMs += pollMs) {
    if (waitedMs >= patienceMs) return await store.remove([mark]);
    await wait(pollMs);
  }
}

/** Names of the files of a build beside its manifest and the code of its steps. */
async function bundleFiles({ dir, manifest }: Build): Promise<string[]> {
  const names = await readdir(dir);
  return [
    BUILD_FILES.workflows,
    ...(names.includes(BUILD_FILES.activities) ? [BUILD_FILES.activities] : []),
    ...manifest.steps
      .filter(({ pythonDigest }) => pythonDigest !== undefined)
      .map(({ name }) => `${BUILD_FILES.python}/${name}.txt`),
  ];
}
