import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, lstat, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import { AnnealError } from '../../core/failures.js';
import { hasErrorCode } from './store-errors.js';

/**
 * Copies a regular file, by reflink where the file system can. A symlink is refused even if it is put there meanwhile.
 * @throws AnnealError InvalidInput when `source` is missing or anything else than a regular file.
 */
export async function copyRegularFile(source: string, target: string): Promise<void> {
  const handle = await openRegularFile(source);
  try {
    // What was opened is what is copied: /proc names the open file itself, whatever the path has become.
    const from = process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : source;
    await copyFile(from, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    if (from === source && (await lstat(source)).ino !== (await handle.stat()).ino) throw notRegular(source);
  } finally {
    await handle.close();
  }
}

/** Size and hex sha256 of a regular file. */
export async function hashRegularFile(
  file: string,
  signal?: AbortSignal,
): Promise<{ readonly sizeBytes: number; readonly sha256: string }> {
  const handle = await openRegularFile(file);
  try {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 1 << 20 })) {
      signal?.throwIfAborted();
      if (!(chunk instanceof Uint8Array)) continue;
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
    }
    return { sizeBytes, sha256: hash.digest('hex') };
  } finally {
    await handle.close();
  }
}

/** Opens a regular file to read; a symlink is refused. @throws AnnealError InvalidInput */
export async function openRegularFile(file: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK a pipe without a writer would be waited for.
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR')) throw notRegular(file, error);
    throw error;
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw notRegular(file);
}

function notRegular(file: string, cause?: unknown): AnnealError {
  return new AnnealError(
    'InvalidInput',
    `"${file}" is missing or not a regular file; only regular files can be stored.`,
    { cause },
  );
}
