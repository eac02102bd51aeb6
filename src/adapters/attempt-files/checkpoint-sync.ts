import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

import type { ArtifactStore } from '../../core/artifact-store.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import type { AttemptPaths } from '../process-executor/attempt-directory.js';
import { readJson, writeJson } from './json-file.js';
import type { AttemptSpec } from '../process-executor/attempt-spec.js';
import type { CheckpointPlace } from './checkpoint-store.js';
import { listCheckpoints, saveCheckpoint } from './checkpoint-store.js';
import { readTree } from './local-tree.js';

export interface CheckpointSyncDeps {
  readonly store: ArtifactStore;
  readonly spec: Pick<AttemptSpec, 'request' | 'name' | 'checkpointSettleMs'>;
  readonly paths: Pick<AttemptPaths, 'checkpoints' | 'renamedCheckpoints'> & {
    /** Where another process of the attempt finds what was restored; absent: there is none. */
    readonly restoredCheckpoints?: string;
  };
  readonly clock: { nowMs(): number };
}

/** Brings whole checkpoint entries of an attempt into the store. */
export interface CheckpointSync {
  /** A name was seen in the directory: `x.tmp` says that `x` is made by renaming. */
  notice(name: string): void;
  /**
   * Stores every whole entry that is not stored yet. An entry is whole when it was renamed from `*.tmp`, or has been unchanged for the
   * settle time.
   * @returns the names stored.
   */
  sync(options?: SyncOptions): Promise<readonly string[]>;
  /** What lies there now is in the store already (it was restored from it). */
  markStored(): Promise<void>;
  /** Finds out what an earlier sync of the attempt, in another process, has stored. */
  markRecorded(): Promise<void>;
}

/** What counts as whole. */
export interface SyncOptions {
  /** Every entry is whole: the command ended by itself. */
  readonly settled?: boolean;
  /** Only renamed entries are: what died some time ago has left its half-written files unchanged since. */
  readonly onlyRenamed?: boolean;
}

/** A sync for one attempt. One caller at a time. */
export function createCheckpointSync(deps: CheckpointSyncDeps): CheckpointSync {
  const { store, spec, paths, clock } = deps;
  const place: CheckpointPlace = { executionId: spec.request.executionId, callId: spec.request.callId };
  const entries = createEntryScan(deps);
  const stored = new Map<string, string>();
  const save = async (entry: Entry): Promise<boolean> => {
    const records = await listCheckpoints(store, place);
    const sequence = (records[0]?.sequence ?? 0) + 1;
    const own = records.findLast(({ attempt }) => attempt === spec.name);
    const whole = await saveCheckpoint(store, place, {
      attempt: spec.name,
      entry: entry.name,
      sequence,
      since: own?.since ?? own?.sequence ?? sequence,
      localPath: path.join(paths.checkpoints, entry.name),
      savedAtMs: clock.nowMs(),
      isUnchanged: async () =>
        (await readEntry(paths.checkpoints, entry.name))?.signature === entry.signature,
    });
    if (whole) stored.set(entry.name, entry.signature);
    return whole;
  };
  return {
    notice: entries.notice,
    sync: async (options) => {
      const there = await entries.scan();
      const newest = there.findLast((entry) => stored.get(entry.name) === entry.signature);
      const found = there.filter(
        (entry) => stored.get(entry.name) !== entry.signature && !(newest && wasThereBefore(entry, newest)),
      );
      const names: string[] = [];
      for (const entry of found
        .filter((one) => options?.settled === true || entries.isWhole(one, options))
        .slice(-KEPT)) {
        if (await save(entry).catch(falseWhenGone)) names.push(entry.name);
      }
      return names;
    },
    markStored: async () => {
      for (const entry of await entries.scan()) stored.set(entry.name, entry.signature);
      if (paths.restoredCheckpoints !== undefined) await writeJson(paths.restoredCheckpoints, [...stored]);
    },
    markRecorded: async () => {
      const restored =
        paths.restoredCheckpoints === undefined
          ? undefined
          : await readJson<[string, string][]>(paths.restoredCheckpoints);
      for (const [name, signature] of restored ?? []) stored.set(name, signature);
      const records = (await listCheckpoints(store, place)).filter(({ attempt }) => attempt === spec.name);
      const found = await entries.scan();
      const newest = found.findLastIndex(({ name, touchedAtMs }) =>
        records.some(({ entry, savedAtMs }) => entry === name && savedAtMs > touchedAtMs),
      );
      // What is older than a stored one was stored before it, or left out.
      for (const entry of found.slice(0, newest + 1)) stored.set(entry.name, entry.signature);
    },
  };
}

const TEMPORARY = '.tmp';
/** The store keeps two, so older ones need not travel. */
const KEPT = 2;

interface Entry {
  readonly name: string;
  readonly inode: number;
  /** Differs whenever any file of the entry does. */
  readonly signature: string;
  /** Its own change time is later than that of any content: renaming does that, and writing does not. */
  readonly renamedAfterWriting: boolean;
  /** Newest change of a file's content. */
  readonly changedAtMs: number;
  /** Newest change of anything of it, names included. */
  readonly touchedAtMs: number;
}

/** Looks at the entries of a checkpoint directory, and remembers which are made by renaming. */
function createEntryScan({ spec, paths, clock }: CheckpointSyncDeps) {
  const renamed = new Set<string>();
  const temporaryInodes = new Set<number>();
  let recorded: number | undefined;
  const notice = (name: string) => {
    if (name.endsWith(TEMPORARY)) renamed.add(name.slice(0, -TEMPORARY.length));
  };
  const remember = async () => {
    if (recorded === undefined)
      for (const name of (await readJson<string[]>(paths.renamedCheckpoints)) ?? []) renamed.add(name);
    // Whoever salvages after a supervisor that died has not seen the renaming.
    if (recorded !== renamed.size) await writeJson(paths.renamedCheckpoints, [...renamed]);
    recorded = renamed.size;
  };
  return {
    notice,
    /** Oldest first. */
    scan: async (): Promise<Entry[]> => {
      const names = await readDirectory(paths.checkpoints);
      for (const name of names.filter((one) => one.endsWith(TEMPORARY))) {
        notice(name);
        const stats = await lstat(path.join(paths.checkpoints, name)).catch(() => undefined);
        if (stats) temporaryInodes.add(stats.ino);
      }
      await remember();
      const whole = names.filter((name) => !name.endsWith(TEMPORARY));
      const entries = await Promise.all(whole.map((name) => readEntry(paths.checkpoints, name)));
      return entries.filter((entry) => entry !== undefined).sort(byAge);
    },
    isWhole: (entry: Entry, options?: SyncOptions) =>
      renamed.has(entry.name) ||
      temporaryInodes.has(entry.inode) ||
      (renamed.size > 0 && entry.renamedAfterWriting) ||
      (options?.onlyRenamed !== true && clock.nowMs() - entry.changedAtMs >= spec.checkpointSettleMs),
  };
}

/** Entries written within one tick of the system's clock have the same times: then they are as old as their names say. */
function byAge(a: Entry, b: Entry): number {
  return (
    a.changedAtMs - b.changedAtMs ||
    a.touchedAtMs - b.touchedAtMs ||
    a.name.localeCompare(b.name, 'en', { numeric: true })
  );
}

/** An entry that is older than a stored one must not be stored after it: it would count as the newest. */
function wasThereBefore(entry: Entry, stored: Entry): boolean {
  // A file that came later with an old time of its own, as a copy may have, is a new one all the same.
  return byAge(entry, stored) < 0 && entry.touchedAtMs <= stored.touchedAtMs;
}

/** The names in the directory; none when the command removed it or put something else in its place. */
async function readDirectory(directory: string): Promise<string[]> {
  const stats = await lstat(directory).catch(() => undefined);
  return stats?.isDirectory() === true ? await readdir(directory) : [];
}

async function readEntry(directory: string, name: string): Promise<Entry | undefined> {
  try {
    const { entries } = await readTree(path.join(directory, name));
    if (entries.length === 0 || entries.some((entry) => entry.kind !== 'file')) return undefined;
    const signature = entries.map(({ path: file, stats }) => `${file}\0${describe(stats)}`).join('\n');
    const own = await lstat(path.join(directory, name));
    const changedAtMs = Math.max(...entries.map(({ stats }) => stats.mtimeMs));
    const renamedAfterWriting = own.ctimeMs > Math.max(changedAtMs, own.mtimeMs);
    const touchedAtMs = Math.max(own.ctimeMs, ...entries.map(({ stats }) => stats.ctimeMs));
    return { name, inode: own.ino, signature, changedAtMs, touchedAtMs, renamedAfterWriting };
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function describe({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}

/** The command may remove an entry while it is stored; what was stored of it has no record and is no checkpoint. */
function falseWhenGone(error: unknown): boolean {
  if (hasErrorCode(error, 'ENOENT', 'InvalidInput')) return false;
  throw error;
}
