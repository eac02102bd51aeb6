import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ReadCode } from '../activities/ports/code.js';
import type { ProjectConfig } from '../config/project-config.js';
import { projectPaths } from '../config/project-paths.js';
import { BUILD_FILES, type BuildManifest } from './build/build-manifest.js';
import { loadBuild } from './build/load-build.js';
import { readStoredManifest, type FetchPlace } from './fetch-build.js';

/** Looks into the builds of a project: those of this machine, and those in the store where the project keeps them there. */
export function openReadCode(
  config: Pick<ProjectConfig, 'root' | 'store' | 'builds'>,
  store: FetchPlace['store'],
): ReadCode {
  return createReadCode(
    projectPaths(config).buildsDir,
    config.builds === 'store' ? async (digest) => await readStoredManifest(store, digest) : undefined,
  );
}

/**
 * Looks into the builds of this machine. One that has not been written since is not read again: every step asks. A build's origin is known
 * better when the same sources are built again.
 * @param readElsewhere for builds that are not here; asked once for each.
 */
export function createReadCode(
  buildsDir: string,
  readElsewhere: (digest: string) => Promise<BuildManifest | undefined> = async () =>
    await Promise.resolve(undefined),
): ReadCode {
  const read = new Map<string, { readonly version: string | undefined; readonly manifest: BuildManifest }>();
  const find = async (digest: string): Promise<BuildManifest | undefined> => {
    const version = await versionOf(path.join(buildsDir, digest, BUILD_FILES.manifest));
    const known = read.get(digest);
    if (known && known.version === version) return known.manifest;
    const build = await loadBuild(buildsDir, digest).catch(() => undefined);
    const manifest = build?.manifest ?? (await readElsewhere(digest).catch(() => undefined));
    if (manifest) read.set(digest, { version, manifest });
    return manifest;
  };
  return async ({ build, step }) => {
    const found = await find(build);
    if (found === undefined) return {};
    const { origin, steps } = found;
    const pythonDigest = steps.find(({ name }) => name === step)?.pythonDigest;
    return {
      ...(origin && { origin }),
      ...(pythonDigest === undefined ? {} : { pythonDigest }),
    };
  };
}

/** What tells one writing of a file from the next. */
async function versionOf(file: string): Promise<string | undefined> {
  return await stat(file).then(
    ({ mtimeMs, ino, size }) => `${mtimeMs}/${ino}/${size}`,
    () => undefined,
  );
}
