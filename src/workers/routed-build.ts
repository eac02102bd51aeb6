import type { Client } from '@temporalio/client';
import type { BuildManifest } from './build/build-manifest.js';
import { loadBuild } from './build/load-build.js';
import { readServerRouting } from './deployment.js';

/** Finds builds by digest. */
export interface BuildManifests {
  /** Undefined where this machine cannot get it. */
  (digest: string): Promise<BuildManifest | undefined>;
}

/** Builds of this machine, and what `readElsewhere` finds; each is read once. */
export function createBuildManifests(buildsDir: string, readElsewhere?: BuildManifests): BuildManifests {
  const known = new Map<string, BuildManifest>();
  return async (digest) => {
    const found =
      known.get(digest) ??
      (await loadBuild(buildsDir, digest).catch(() => undefined))?.manifest ??
      (await readElsewhere?.(digest).catch(() => undefined));
    if (found !== undefined) known.set(digest, found);
    return found;
  };
}

/**
 * The build that new runs use, as the server says: each worker knows another one as its own for a while when code is deployed. Undefined where
 * the server sends runs nowhere yet, or this machine cannot get the build.
 */
export function createRoutedBuild(
  client: Client,
  project: string,
  readManifest: BuildManifests,
): () => Promise<BuildManifest | undefined> {
  return async () => {
    const routing = await readServerRouting(client, project);
    return routing === undefined ? undefined : await readManifest(routing.current);
  };
}
