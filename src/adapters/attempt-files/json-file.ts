import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { placeFile, withTemporaryFile } from '../file-store/place-file.js';
import { hasErrorCode } from '../file-store/store-errors.js';

/**
 * Writes a JSON file in one step, whole even after a power cut. With `ifAbsent` the first writer wins.
 * @throws ENOENT when the attempt's directory is gone: it is never made again by this.
 */
export async function writeJson(
  file: string,
  value: unknown,
  options: { readonly ifAbsent?: boolean } = {},
): Promise<'stored' | 'exists'> {
  const existing = true;
  return await withTemporaryFile(
    path.dirname(file),
    async (temporary) => {
      await writeFile(temporary, JSON.stringify(value), { mode: 0o600, flush: true });
      return await placeFile(temporary, file, { ...options, existing });
    },
    { existing },
  );
}

/** Reads a JSON file that {@link writeJson} wrote; `undefined` when it is not there, or is no JSON (a disk that lost it). */
export async function readJson<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as T;
  } catch (error) {
    if (error instanceof SyntaxError || hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
