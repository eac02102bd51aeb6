import { chmod, copyFile, lstat, mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { FileEntry } from '../../core/artifacts.js';
import { AnnealError } from '../../core/failures.js';
import { hashRegularFile } from '../file-store/copy-regular-file.js';
import { readTree } from './local-tree.js';
import { toBytes } from './stored-outcome.js';

/** The call whose checkpoints are meant, over all its attempts. */
export interface CheckpointPlace {
  readonly executionId: string;
  readonly callId: string;
}

/** One whole entry of a checkpoint directory in the store. Written after its files. */
export interface CheckpointRecord {
  readonly version: 1;
  readonly entry: string;
  /** Grows over all attempts of the call. */
  readonly sequence: number;
  /** That of the attempt's first checkpoint; absent in those of earlier versions. */
  readonly since?: number;
  readonly attempt: string;
  readonly form: 'file' | 'directory';
  readonly files: readonly FileEntry[];
  readonly savedAtMs: number;
}

/** A checkpoint to store. */
export interface CheckpointToSave {
  readonly attempt: string;
  readonly entry: string;
  readonly sequence: number;
  /** Sequence of the attempt's first checkpoint. */
  readonly since: number;
  readonly localPath: string;
  readonly savedAtMs: number;
  /** Asked after the copy: whether the entry is still what it was. */
  readonly isUnchanged: () => Promise<boolean>;
}

/** The whole checkpoints of a call, newest first. */
export async function listCheckpoints(
  store: ArtifactStore,
  place: CheckpointPlace,
): Promise<CheckpointRecord[]> {
  const prefix = storeKeys.checkpoints(place.executionId, place.callId);
  const records: CheckpointRecord[] = [];
  for await (const { key } of store.list(prefix)) {
    if (!RECORD.test(key.slice(prefix.length))) continue;
    const bytes = await store.readBytes(key);
    if (bytes) records.push(JSON.parse(new TextDecoder().decode(bytes)) as CheckpointRecord);
  }
  return records.sort((a, b) => b.sequence - a.sequence || b.savedAtMs - a.savedAtMs);
}

/**
 * Stores one entry and leaves the last two of the call. An attempt that was given up, but goes on on a node that is back, takes nothing away
 * from those that came after it. Of one that could not be stored whole nothing is left.
 * @returns false when it changed meanwhile.
 */
export async function saveCheckpoint(
  store: ArtifactStore,
  place: CheckpointPlace,
  save: CheckpointToSave,
): Promise<boolean> {
  let whole = false;
  try {
    whole = await copyCheckpoint(store, place, save);
  } finally {
    // The error that stopped the copy is the one to tell.
    if (!whole) await store.removeAll(`${keyOf(place, save)}/`).catch(() => undefined);
  }
  if (!whole) return false;
  const ownOrOlder = (await listCheckpoints(store, place)).filter(
    ({ attempt, sequence }) => attempt === save.attempt || sequence < save.since,
  );
  for (const old of ownOrOlder.slice(KEPT)) await store.removeAll(`${keyOf(place, old)}/`);
  return true;
}

async function copyCheckpoint(
  store: ArtifactStore,
  place: CheckpointPlace,
  save: CheckpointToSave,
): Promise<boolean> {
  const key = keyOf(place, save);
  const { form, entries } = await readTree(save.localPath);
  const files: FileEntry[] = [];
  for (const { path: file } of entries) {
    const stored = file === '' ? SINGLE : file;
    files.push({
      ...(await store.putFile(`${key}/files/${stored}`, path.join(save.localPath, file))),
      path: stored,
    });
  }
  if (!(await save.isUnchanged())) return false;
  const { entry, sequence, since, attempt, savedAtMs } = save;
  const record: CheckpointRecord = { version: 1, entry, sequence, since, attempt, form, files, savedAtMs };
  await store.putBytes(`${key}/checkpoint.json`, toBytes(record));
  return true;
}

/**
 * Puts the newest checkpoint that is whole and undamaged into a folder, as files that may be written.
 * @param staging a folder on the same file system, for what is not whole yet.
 */
export async function restoreCheckpoint(
  store: ArtifactStore,
  place: CheckpointPlace,
  local: { readonly directory: string; readonly staging: string },
): Promise<CheckpointRecord | undefined> {
  for (const record of await listCheckpoints(store, place)) {
    const staged = path.join(local.staging, `restore-${record.sequence}`);
    await rm(staged, { recursive: true, force: true });
    if (await fetchCheckpoint(store, { key: keyOf(place, record), record }, staged)) {
      await rename(staged, path.join(local.directory, record.entry));
      return record;
    }
    await rm(staged, { recursive: true, force: true });
  }
  return undefined;
}

const KEPT = 2;
/** Name in the store of an entry that is a single file. */
const SINGLE = 'data';
const RECORD = /^[^/]+\/\d{6}-[^/]+\/checkpoint\.json$/;

function keyOf(
  place: CheckpointPlace,
  of: { readonly attempt: string; readonly sequence: number; readonly entry: string },
): string {
  return `${storeKeys.checkpoints(place.executionId, place.callId)}${of.attempt}/${String(of.sequence).padStart(6, '0')}-${of.entry}`;
}

async function fetchCheckpoint(
  store: ArtifactStore,
  from: { readonly key: string; readonly record: CheckpointRecord },
  target: string,
): Promise<boolean> {
  const { form, files } = from.record;
  if (form === 'directory') await mkdir(target);
  for (const file of files) {
    const local = form === 'file' ? target : path.join(target, file.path);
    await mkdir(path.dirname(local), { recursive: true });
    try {
      await store.fetchFile(`${from.key}/files/${file.path}`, local);
    } catch (error) {
      // A store that does not answer says nothing of the checkpoint: an older one must not be taken for that.
      if (error instanceof AnnealError && error.code === 'StoreUnavailable') throw error;
      return false;
    }
    await makeWritable(local);
    const { sizeBytes, sha256 } = await hashRegularFile(local);
    if (sizeBytes !== file.sizeBytes || sha256 !== file.sha256) return false;
  }
  return true;
}

/** A checkpoint belongs to the command, which may overwrite it: it must not share bytes with the store. */
async function makeWritable(file: string): Promise<void> {
  if ((await lstat(file)).nlink > 1) {
    const own = `${file}.own`;
    await copyFile(file, own);
    await rename(own, file);
  }
  await chmod(file, 0o644);
}
