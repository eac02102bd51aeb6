import { constants } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { openRegularFile } from '../../adapters/file-store/copy-regular-file.js';
import { hasErrorCode } from '../../adapters/file-store/store-errors.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';

// The volume of a pod is the command's, too, which may put anything anywhere in it at any time: a symlink in the place of a folder would
// lead to what only the agent may read. So every folder on the way is opened, without following symlinks, and what is in it is named
// through what was opened. Linux alone has pods.

/**
 * Calls back with a path that names the same file as `file`, of which nobody can exchange a folder meanwhile. The file itself must still be
 * opened without following symlinks.
 * @throws AnnealError InvalidInput when a folder on the way is something else; ENOENT when it is not there.
 */
export async function withSafePath<T>(
  root: string,
  file: string,
  work: (safePath: string) => Promise<T>,
): Promise<T> {
  const segments = path.relative(root, file).split(path.sep);
  const name = segments.pop() ?? '';
  if (name === '' || segments.includes('..')) throw notInside(file);
  let folder = await open(root, FOLDER);
  try {
    for (const segment of segments) {
      const next = await openFolder(folder, segment, file);
      await folder.close();
      folder = next;
    }
    return await work(`/proc/self/fd/${folder.fd}/${name}`);
  } finally {
    await folder.close();
  }
}

/** A short text that a container wrote; `undefined` when it is not there, or is no regular file. */
export async function readVolumeText(root: string, file: string): Promise<string | undefined> {
  const handle = await openVolumeFile(root, file);
  if (handle === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(TEXT_BYTES), 0, TEXT_BYTES, 0);
    return buffer.subarray(0, bytesRead).toString('utf8').trimEnd();
  } finally {
    await handle.close();
  }
}

/** Opens a regular file of the volume to read; `undefined` when there is none. */
export async function openVolumeFile(root: string, file: string): Promise<FileHandle | undefined> {
  try {
    return await withSafePath(root, file, async (safePath) => await openRegularFile(safePath));
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'InvalidInput')) return undefined;
    throw error;
  }
}

/** Writes a text, whole or not at all; what was there is replaced. */
export async function writeVolumeText(root: string, file: string, text: string): Promise<void> {
  await withSafePath(root, file, async (safePath) => {
    const draft = `${safePath}.draft`;
    await rm(draft, { force: true, recursive: true });
    await writeFile(draft, text, { flag: 'wx' });
    await rename(draft, safePath);
  });
}

/** The same store, which takes files of the volume only if they are there themselves: no symlink in any place of their path. */
export function guardStore(store: ArtifactStore, root: string): ArtifactStore {
  return {
    ...store,
    putFile: async (key, localPath) =>
      await withSafePath(root, localPath, async (safePath) => await store.putFile(key, safePath)),
  };
}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const TEXT_BYTES = 16 * 1024;

async function openFolder(parent: FileHandle, name: string, file: string): Promise<FileHandle> {
  try {
    return await open(`/proc/self/fd/${parent.fd}/${name}`, FOLDER);
  } catch (error) {
    throw hasErrorCode(error, 'ELOOP', 'ENOTDIR') ? notInside(file) : error;
  }
}

function notInside(file: string): AnnealError {
  return new AnnealError(
    'InvalidInput',
    `"${file}" is reached through a symlink; only regular files in their own folders can be stored.`,
  );
}
