import { randomUUID } from 'node:crypto';
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

import { hasErrorCode } from './store-errors.js';

/** How a finished temporary file becomes visible. */
export interface PlaceOptions {
  /** Leave what is already there. */
  readonly ifAbsent?: boolean;
  /** Also make the name durable: after a power cut the file is there, and what was placed before it. */
  readonly durable?: boolean;
  /** Fail with ENOENT where the folder is not there, instead of making it: somebody may be removing it. */
  readonly existing?: boolean;
}

/** Runs `fill` with the path of a temporary file in `directory` and removes what is left of it; a second time, where something was missing. */
export async function withTemporaryFile<T>(
  directory: string,
  fill: (file: string) => Promise<T>,
  options: Pick<PlaceOptions, 'existing'> = {},
): Promise<T> {
  const file = path.join(directory, `${process.pid}-${randomUUID()}`);
  try {
    return await withDirectory(directory, options, () => fill(file));
  } finally {
    await unlink(file).catch(throwUnlessMissing);
  }
}

/**
 * Makes a temporary file visible under its final name in one step: by rename, or by link where the first writer must win.
 * Both files are on one file system.
 */
export async function placeFile(
  temporary: string,
  target: string,
  options: PlaceOptions = {},
): Promise<'stored' | 'exists'> {
  const parent = path.dirname(target);
  const move = async () => {
    if (options.ifAbsent === true) await link(temporary, target);
    else await rename(temporary, target);
  };
  try {
    await withDirectory(parent, options, move);
  } catch (error) {
    if (options.ifAbsent === true && hasErrorCode(error, 'EEXIST')) return 'exists';
    throw error;
  }
  if (options.durable === true) await syncPath(parent);
  return 'stored';
}

/** Flushes a file, or a directory's list of names, to the disk. */
export async function syncPath(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Does a piece of work in a directory, which is made when it turns out to be missing: most often it is there. */
async function withDirectory<T>(
  directory: string,
  { existing }: Pick<PlaceOptions, 'existing'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (existing === true || !hasErrorCode(error, 'ENOENT')) throw error;
    await mkdir(directory, { recursive: true });
    return await work();
  }
}

function throwUnlessMissing(error: unknown): void {
  if (!hasErrorCode(error, 'ENOENT', 'ENOTDIR')) throw error;
}
