import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { AnnealError } from '../../core/failures.js';
import { BUILD_FILES, BUILD_VERSION } from './build-manifest.js';
import type { Build, BuildManifest } from './build-manifest.js';

/**
 * A build on disk.
 * @throws AnnealError BuildFailed when it is not there or cannot be read by this version.
 */
export async function loadBuild(buildsDir: string, digest: string): Promise<Build> {
  const dir = path.join(buildsDir, digest);
  const manifest = /^[0-9a-f]{64}$/.test(digest) ? await readManifest(dir) : undefined;
  if (manifest === undefined)
    throw new AnnealError(
      'BuildFailed',
      `Build ${digest.slice(0, 12)} is not in ${buildsDir}. Make one with: anneal build`,
    );
  if (manifest.version !== BUILD_VERSION || manifest.digest !== digest)
    throw new AnnealError(
      'BuildFailed',
      `Build ${digest.slice(0, 12)} in ${buildsDir} has layout ${String(manifest.version)}; this version reads ${BUILD_VERSION}. Make a new one with: anneal build`,
    );
  return { digest, dir, manifest };
}

/** All builds that this version can read, newest first. */
export async function listBuilds(buildsDir: string): Promise<Build[]> {
  const names = await readdir(buildsDir).catch(() => []);
  const found = await Promise.all(names.map((name) => loadBuild(buildsDir, name).catch(() => undefined)));
  return found
    .filter((build) => build !== undefined)
    .toSorted((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1));
}

async function readManifest(dir: string): Promise<BuildManifest | undefined> {
  return readFile(path.join(dir, BUILD_FILES.manifest), 'utf8').then(
    (text) => JSON.parse(text) as BuildManifest,
    () => undefined,
  );
}
