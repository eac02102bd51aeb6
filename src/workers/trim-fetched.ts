import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { FETCHED } from './fetch-build.js';
import { readUsed, removeBuilds } from './retention-parts.js';

/** Builds from the store that a machine keeps at least, and how long each stays after it was last loaded. */
const KEPT = 5;
const KEPT_MS = 3_600_000;

/** Removes builds that came from the store, were not loaded for an hour and are needed by nobody: they can be fetched again. @returns those that went. */
export async function trimFetched(given: {
  readonly buildsDir: string;
  readonly nowMs: () => number;
  /** Whether runs of a build are open. */
  readonly isNeeded: (digest: string) => Promise<boolean>;
}): Promise<string[]> {
  const { buildsDir, nowMs, isNeeded } = given;
  const names = await readdir(buildsDir).catch(() => []);
  const fetched = await Promise.all(
    names.map(async (digest) => {
      const marker = await stat(path.join(buildsDir, digest, FETCHED)).catch(() => undefined);
      return marker === undefined ? [] : [{ digest, loadedAtMs: marker.mtimeMs }];
    }),
  );
  const used = await readUsed(buildsDir);
  const old: string[] = [];
  for (const { digest, loadedAtMs } of fetched
    .flat()
    .sort((a, b) => a.loadedAtMs - b.loadedAtMs)
    .slice(0, -KEPT))
    if (!used.has(digest) && loadedAtMs < nowMs() - KEPT_MS && !(await isNeeded(digest))) old.push(digest);
  return await removeBuilds(buildsDir, old, isNeeded);
}
