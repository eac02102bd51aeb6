import { readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { readRegisteredRuns, type RegisteredRun } from '../adapters/mlflow/registered-runs.js';
import { sweepUploads } from '../adapters/open-store.js';
import type { StoreLocation } from '../core/store-location.js';
import { readRouting } from './current-build.js';

/** The runs that models in MLflow come from. @throws AnnealError TrackingUnavailable. */
export async function readModelRuns(trackingUri: string, env: NodeJS.ProcessEnv): Promise<RegisteredRun[]> {
  return await readRegisteredRuns({ trackingUri, env });
}

/** Ends uploads to an S3 store that were left unfinished more than a day ago. @returns their keys. */
export async function endOldUploads(store: StoreLocation, nowMs: number): Promise<string[]> {
  return await sweepUploads(store, nowMs - OLD_UPLOAD_MS);
}

/** Beside the time that workers leave an upload alone. */
const OLD_UPLOAD_MS = 18 * 3_600_000;

/** Builds that are kept whatever runs use: somebody may go back to one. */
const KEPT = 3;
const DIGEST = /^[0-9a-f]{64}$/;
/** What a build is called while it is removed. */
const LEAVING = '.leaving-';

/** Digests of the builds of this machine that may go when no open run uses them, oldest first. */
export async function listOldBuilds(buildsDir: string, beforeMs: number): Promise<string[]> {
  const used = await readUsed(buildsDir);
  const names = (await readdir(buildsDir).catch(() => [])).filter((name) => DIGEST.test(name));
  const builds = await Promise.all(
    names.map(async (digest) => ({ digest, atMs: await newestOf(path.join(buildsDir, digest)) })),
  );
  return builds
    .sort((a, b) => a.atMs - b.atMs)
    .slice(0, -KEPT)
    .filter(({ digest, atMs }) => !used.has(digest) && atMs < beforeMs)
    .map(({ digest }) => digest);
}

/** Builds that new runs use, and the one to go back to. */
export async function readUsed(buildsDir: string): Promise<ReadonlySet<string>> {
  const { current, ramp, previous } = (await readRouting(buildsDir)) ?? {};
  return new Set([current, ramp?.digest, previous].filter((digest) => digest !== undefined));
}

/** Its manifest is written anew when the same sources are built again. */
async function newestOf(dir: string): Promise<number> {
  const times = [dir, path.join(dir, 'manifest.json')].map(async (file) => (await stat(file)).mtimeMs);
  return Math.max(...(await Promise.all(times.map((time) => time.catch(() => 0)))));
}

/**
 * Removes builds, each in one step; one that has come into use since they were chosen stays.
 * @param isNeeded whether runs of a build are open: people may have thought long about what they were shown.
 * @returns those that went.
 */
export async function removeBuilds(
  buildsDir: string,
  digests: readonly string[],
  isNeeded: (digest: string) => Promise<boolean>,
): Promise<string[]> {
  const removed: string[] = [];
  const putBack = async (digest: string) =>
    await rename(path.join(buildsDir, `${LEAVING}${digest}`), path.join(buildsDir, digest)).catch(
      () => undefined,
    );
  for (const digest of digests) {
    if (await isNeeded(digest)) continue;
    await rename(path.join(buildsDir, digest), path.join(buildsDir, `${LEAVING}${digest}`)).catch(
      () => undefined,
    );
    if ((await readUsed(buildsDir)).has(digest)) await putBack(digest);
    else removed.push(digest);
  }
  const used = await readUsed(buildsDir);
  for (const name of await readdir(buildsDir).catch(() => [])) {
    if (!name.startsWith(LEAVING)) continue;
    const digest = name.slice(LEAVING.length);
    // Somebody was killed before this one could be put back.
    if (used.has(digest)) await putBack(digest);
    await rm(path.join(buildsDir, name), { recursive: true, force: true });
  }
  return removed;
}
