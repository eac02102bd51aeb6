import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

import type { ArtifactStore } from '../../core/artifact-store.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import type { AttemptPaths } from './attempt-directory.js';
import { readJson, writeJson } from './attempt-directory.js';
import type { AttemptSpec } from './attempt-spec.js';
import type { CheckpointPlace } from './checkpoint-store.js';
import { listCheckpoints, saveCheckpoint } from './checkpoint-store.js';
import { readTree } from './local-tree.js';

export interface CheckpointSyncDeps {
  readonly store: ArtifactStore;
  readonly spec: AttemptSpec;
  readonly paths: AttemptPaths;
  readonly clock: { nowMs(): number };
}

/** Brings whole checkpoint entries of an attempt into the store. */
export interface CheckpointSync {
  /** A name was seen in the directory: `x.tmp` says that `x` is made by renaming. */
  notice(name: string): void;
  /**
   * Stores every whole entry that is not stored yet. An entry is whole when it was renamed from `*.tmp`, or has been unchanged for the
   * settle time; with `settled` every entry is: the command ended by itself.
   * @returns the names stored.
   */
  sync(options?: { readonly settled?: boolean }): Promise<readonly string[]>;
  /** What lies there now is in the store already (it was restored from it). */
  markStored(): Promise<void>;
}

/** A sync for one attempt. One caller at a time. */
export function createCheckpointSync(deps: CheckpointSyncDeps): CheckpointSync {
  const { store, spec, paths, clock } = deps;
  const place: CheckpointPlace = { executionId: spec.request.executionId, callId: spec.request.callId };
  const renamed = new Set<string>();
  const temporaryInodes = new Set<number>();
  const stored = new Map<string, string>();
  let recorded: number | undefined;

  const notice = (name: string) => {
    if (name.endsWith(TEMPORARY)) renamed.add(name.slice(0, -TEMPORARY.length));
  };
  const remember = async () => {
    if (recorded === undefined)
      for (const name of (await readJson<string[]>(paths.renamedCheckpoints)) ?? []) renamed.add(name);
    // A supervisor that dies leaves this to whoever salvages.
    if (recorded !== renamed.size) await writeJson(paths.renamedCheckpoints, [...renamed]);
    recorded = renamed.size;
  };
  const scan = async () => {
    const names = await readdir(paths.checkpoints).catch(emptyWhenAbsent);
    names.forEach(notice);
    for (const name of names.filter((one) => one.endsWith(TEMPORARY))) {
      const stats = await lstat(path.join(paths.checkpoints, name)).catch(() => undefined);
      if (stats) temporaryInodes.add(stats.ino);
    }
    await remember();
    const entries = await Promise.all(
      names.filter((name) => !name.endsWith(TEMPORARY)).map((name) => readEntry(paths.checkpoints, name)),
    );
    return entries.filter((entry) => entry !== undefined).sort((a, b) => a.changedAtMs - b.changedAtMs);
  };
  const isWhole = (entry: Entry) =>
    renamed.has(entry.name) ||
    temporaryInodes.has(entry.inode) ||
    clock.nowMs() - entry.changedAtMs >= spec.checkpointSettleMs;
  const save = async (entry: Entry): Promise<boolean> => {
    const sequence = ((await listCheckpoints(store, place))[0]?.sequence ?? 0) + 1;
    const localPath = path.join(paths.checkpoints, entry.name);
    const isUnchanged = async () =>
      (await readEntry(paths.checkpoints, entry.name))?.signature === entry.signature;
    const whole = await saveCheckpoint(store, place, {
      attempt: spec.name,
      entry: entry.name,
      sequence,
      localPath,
      savedAtMs: clock.nowMs(),
      isUnchanged,
    });
    if (whole) stored.set(entry.name, entry.signature);
    return whole;
  };
  return {
    notice,
    sync: async (options) => {
      const entries = (await scan()).filter((entry) => stored.get(entry.name) !== entry.signature);
      const names: string[] = [];
      for (const entry of entries.filter((one) => options?.settled === true || isWhole(one)).slice(-KEPT)) {
        if (await save(entry).catch(falseWhenGone)) names.push(entry.name);
      }
      return names;
    },
    markStored: async () => {
      for (const entry of await scan()) stored.set(entry.name, entry.signature);
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
  /** Newest change of a file's content. */
  readonly changedAtMs: number;
}

async function readEntry(directory: string, name: string): Promise<Entry | undefined> {
  try {
    const { entries } = await readTree(path.join(directory, name));
    if (entries.length === 0 || entries.some((entry) => entry.kind !== 'file')) return undefined;
    const signature = entries.map(({ path: file, stats }) => `${file}\0${describe(stats)}`).join('\n');
    const { ino } = await lstat(path.join(directory, name));
    return {
      name,
      inode: ino,
      signature,
      changedAtMs: Math.max(...entries.map(({ stats }) => stats.mtimeMs)),
    };
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function describe({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}

function emptyWhenAbsent(error: unknown): string[] {
  if (hasErrorCode(error, 'ENOENT')) return [];
  throw error;
}

/** The command may remove an entry while it is stored; what was stored of it has no record and is no checkpoint. */
function falseWhenGone(error: unknown): boolean {
  if (hasErrorCode(error, 'ENOENT', 'InvalidInput')) return false;
  throw error;
}
