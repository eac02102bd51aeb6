import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { BUILD_FILES, type Build } from './build/build-manifest.js';
import { verifyBuild } from './build/verify-build.js';
import { completeStepCode, isStored } from './ship-step-code.js';

/** The part of a store that builds are put into. */
type ShipStore = Pick<ArtifactStore, 'putBytes' | 'putFile' | 'readBytes' | 'stat' | 'list'>;

/**
 * Puts a build into the store, its manifest last: one with a manifest is whole. What is there already stays; the manifest is written in any
 * case, so that the build counts as used now.
 * @throws AnnealError BuildFailed for a build that does not have its digest; StoreUnavailable.
 */
export async function shipBuild(store: ShipStore, build: Build): Promise<void> {
  await verifyBuild(build);
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
