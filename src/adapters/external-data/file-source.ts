import { chmod, realpath, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import type { ExternalData } from '../../activities/ports/external-data.js';
import { AnnealError } from '../../core/failures.js';
import type { PinnedObject } from '../../core/dataset-pin.js';
import { PINNED_OBJECTS } from '../../core/pinned-data.js';
import { copyRegularFile, hashRegularFile } from '../file-store/copy-regular-file.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import { readTree } from '../attempt-files/local-tree.js';
import { changedData } from './changed-data.js';

/**
 * Files and directories of this machine, or of a disk that its workers share. Known again by the sha256 of their bytes; links that lead
 * to them are resolved when they are pinned.
 */
export function createFileSource(): ExternalData {
  return {
    find: async (uri, signal) => {
      const root = await resolve(uri);
      const { form, entries } = await readTree(root).catch((error: unknown) => {
        throw unreadable(uri, error);
      });
      if (entries.length === 0)
        throw new AnnealError('InvalidInput', `The directory ${uri} is empty. Point to one with files.`);
      if (entries.length > PINNED_OBJECTS) throw tooMany(uri, entries.length);
      const objects: PinnedObject[] = [];
      for (const entry of entries) {
        signal.throwIfAborted();
        if (entry.kind !== 'file')
          throw new AnnealError(
            'InvalidInput',
            `${uri} holds "${entry.path}", which is ${entry.kind === 'symlink' ? 'a symlink' : 'neither a file nor a directory'}; a dataset is made of regular files.`,
          );
        const hashed = await hashRegularFile(path.join(root, entry.path), signal).catch((error: unknown) => {
          signal.throwIfAborted();
          throw unreadable(uri, error);
        });
        objects.push({ path: entry.path, ...hashed });
      }
      return { source: pathToFileURL(root).href, form, objects };
    },
    fetch: async (object, { source, localPath }) => {
      const file = path.join(fileURLToPath(source), object.path);
      const { href } = pathToFileURL(file);
      const pinned = `sha256 ${object.sha256 ?? 'unknown'}`;
      try {
        await copyRegularFile(file, localPath);
      } catch (error) {
        if (error instanceof AnnealError || hasErrorCode(error, 'ENOENT', 'ENOTDIR'))
          throw changedData(`file ${href}`, { pinned, now: 'missing or no regular file on this machine' });
        throw error;
      }
      const { sha256 } = await hashRegularFile(localPath);
      if (sha256 === object.sha256) return await chmod(localPath, 0o444);
      await rm(localPath, { force: true });
      throw changedData(`file ${href}`, { pinned, now: sha256 });
    },
  };
}

async function resolve(uri: string): Promise<string> {
  let file: string;
  try {
    file = fileURLToPath(uri);
  } catch (error) {
    throw new AnnealError('InvalidInput', `"${uri}" names no file: ${reasonOf(error)}. Write file:///PATH.`);
  }
  return await realpath(file).catch((error: unknown) => {
    throw unreadable(uri, error);
  });
}

function unreadable(uri: string, error: unknown): AnnealError {
  if (hasErrorCode(error, 'ENOENT', 'ENOTDIR'))
    return new AnnealError(
      'InvalidInput',
      `There is nothing at ${uri} on the machine of the worker. Correct the URI, or put the data where every worker sees it.`,
    );
  return new AnnealError(
    'InvalidInput',
    `${uri} cannot be read: ${reasonOf(error)}. Let the worker's user read it.`,
  );
}

/** The refusal of a dataset of too many objects. */
export function tooMany(uri: string, found: number): AnnealError {
  return new AnnealError(
    'InvalidInput',
    `${uri} holds ${found} objects or more; a dataset has at most ${PINNED_OBJECTS}. Pin a part of it, or pack the files.`,
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
