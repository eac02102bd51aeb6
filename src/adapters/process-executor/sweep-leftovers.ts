import { lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { INCOMING } from '../file-store/create-file-store.js';
import { systemCgroupFiles } from './cgroup-files.js';
import { findCgroupParent } from './find-cgroup-parent.js';
import { sweepMemoryGroups } from './memory-group.js';

/** Where leftovers lie. */
export interface SweepOptions {
  readonly attemptsDir: string;
  /** Root of the store, where that is a directory. */
  readonly storeDir?: string;
  readonly nowMs?: () => number;
}

/**
 * Removes what processes that died left half-made: files that were on their way into the store, drafts of attempt directories, and
 * directories whose removal was interrupted, control groups without processes. Only what nothing has touched for an hour.
 * @returns the paths removed. What cannot be removed is left for the next time.
 */
export async function sweepLeftovers(options: SweepOptions): Promise<string[]> {
  const incoming = options.storeDir === undefined ? undefined : path.join(options.storeDir, INCOMING);
  const drafts = (await namesIn(options.attemptsDir)).filter((name) => name.startsWith('.'));
  const found = [
    ...(incoming === undefined ? [] : (await namesIn(incoming)).map((name) => path.join(incoming, name))),
    ...drafts.map((name) => path.join(options.attemptsDir, name)),
  ];
  const nowMs = options.nowMs?.() ?? Date.now();
  const before = nowMs - OLD_MS;
  const removed: string[] = [];
  for (const leftover of found) {
    const stats = await lstat(leftover).catch(() => undefined);
    // Content that is copied by reflink may bear an old time of its own; the change time is this file's.
    if (stats === undefined || Math.max(stats.mtimeMs, stats.ctimeMs) > before) continue;
    const gone = await rm(leftover, { recursive: true, force: true }).then(
      () => true,
      () => false,
    );
    if (gone) removed.push(leftover);
  }
  const parent = await findCgroupParent(systemCgroupFiles);
  const groups = parent && (await sweepMemoryGroups(systemCgroupFiles, parent, nowMs));
  return [...removed, ...(groups ?? [])];
}

const OLD_MS = 60 * 60_000;

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}
