import { constants } from 'node:fs';
import { chmod, copyFile, link, open, readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import type { ArtifactStore, StoredObject } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import { copyRegularFile, hashRegularFile } from './copy-regular-file.js';
import { placeFile, syncPath, withTemporaryFile } from './place-file.js';
import { hasErrorCode, toStoreError } from './store-errors.js';

/** Where a file store is, and how it hands out files. */
export interface FileStoreOptions {
  /** Absolute path of the folder that holds the objects, one file each. It is made when it is first needed. */
  readonly root: string;
  /**
   * Whether `fetchFile` may hand out hard links of the store's own read-only files where reflinks are not to be had. Default: unless
   * the process is root, whom a read-only mode does not stop from writing into the store.
   */
  readonly shareFiles?: boolean;
}

/** An artifact store in a folder of this machine. Objects are read-only files; a write is a temporary file, fsync, rename. */
export function createFileStore(options: FileStoreOptions): ArtifactStore {
  const root = path.resolve(options.root);
  const place = {
    root,
    incoming: path.join(root, INCOMING),
    shareFiles: options.shareFiles ?? process.getuid?.() !== 0,
  };
  const rootUri = pathToFileURL(root).href;
  const pathOf = (key: string) => path.join(root, ...checkKey(key));
  return {
    rootUri,
    uriOf: (key) => pathToFileURL(pathOf(key)).href,
    keyOf: (uri) => keyOf(root, uri),
    putFile: async (key, localPath) => {
      const target = pathOf(key);
      return await attempt('store', key, () =>
        withTemporaryFile(place.incoming, async (temporary) => {
          await copyRegularFile(localPath, temporary);
          const hashed = await hashRegularFile(temporary);
          await seal(temporary);
          await placeFile(temporary, target);
          return { path: path.basename(target), ...hashed };
        }),
      );
    },
    putBytes: async (key, bytes, putOptions) => {
      const target = pathOf(key);
      const durable = putOptions?.remakeable !== true;
      return await attempt('store', key, () =>
        withTemporaryFile(place.incoming, async (temporary) => {
          await writeFile(temporary, bytes, { flag: 'wx', mode: 0o444, flush: durable });
          return await placeFile(temporary, target, {
            durable,
            ifAbsent: putOptions?.ifAbsent === true,
          });
        }),
      );
    },
    readBytes: async (key) => {
      const file = pathOf(key);
      return await attempt('read', key, () => readFile(file).catch(undefinedWhenAbsent));
    },
    openRead: async (key, options) => await openObject(root, key, options?.start ?? 0),
    stat: async (key) => await statObject(root, key),
    fetchFile: async (key, localPath) => {
      const file = pathOf(key);
      await attempt('read', key, () => fetchObject(file, localPath, place.shareFiles));
    },
    list: (prefix) => listObjects(root, prefix),
    removeAll: async (prefix) => {
      const folder = pathOf(folderOf(prefix));
      await attempt('remove', prefix, () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    },
    remove: async (keys) => {
      const files = keys.map((key) => ({ key, file: pathOf(key) }));
      for (const { key, file } of files) await attempt('remove', key, () => rm(file, { force: true }));
      await removeEmptyFolders(root, new Set(files.map(({ file }) => path.dirname(file))));
    },
  };
}

/** Files that are being written; on the store's own file system, so that a rename suffices. */
export const INCOMING = '.incoming';

function checkKey(key: string): string[] {
  const segments = key.split('/');
  if (
    segments[0] === INCOMING ||
    segments.some((segment) => ['', '.', '..'].includes(segment) || segment.includes('\0'))
  )
    throw new AnnealError(
      'InvalidInput',
      `"${key}" is not a key of the artifact store: it must be relative, "/"-separated, without empty, "." or ".." segments.`,
    );
  return segments;
}

/** The key of the folder that a prefix names. */
function folderOf(prefix: string): string {
  if (prefix.endsWith('/')) return prefix.slice(0, -1);
  throw new AnnealError('InvalidInput', `Only a prefix that ends in "/" can be removed, found "${prefix}".`);
}

function keyOf(root: string, uri: string): string {
  const file = uri.startsWith('file:///') ? fileURLToPath(uri) : undefined;
  const key = file === undefined ? '' : path.relative(root, file).split(path.sep).join('/');
  if (key === '' || key === '..' || key.startsWith('../'))
    throw new AnnealError(
      'InvalidInput',
      `"${uri}" is not in this artifact store, whose URIs start with ${pathToFileURL(root).href}/.`,
    );
  return key;
}

async function attempt<T>(action: string, key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toStoreError(action, key, error);
  }
}

async function seal(file: string): Promise<void> {
  await chmod(file, 0o444);
  await syncPath(file);
}

/** Folders are no objects: one that holds nothing more goes, and those above it. Who is about to write there makes it again. */
async function removeEmptyFolders(root: string, folders: ReadonlySet<string>): Promise<void> {
  const deepestFirst = [...folders].sort((a, b) => b.length - a.length);
  for (const start of deepestFirst)
    for (let folder = start; folder.startsWith(`${root}${path.sep}`); folder = path.dirname(folder))
      if (
        !(await rmdir(folder).then(
          () => true,
          () => false,
        ))
      )
        break;
}

function undefinedWhenAbsent(error: unknown): undefined {
  if (hasErrorCode(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return undefined;
  throw error;
}

async function statObject(root: string, key: string): Promise<StoredObject | undefined> {
  const file = path.join(root, ...checkKey(key));
  const found = await attempt('read', key, () => stat(file).catch(undefinedWhenAbsent));
  if (found === undefined || !found.isFile()) return undefined;
  return {
    key,
    uri: pathToFileURL(file).href,
    sizeBytes: found.size,
    modifiedAtMs: Math.floor(found.mtimeMs),
  };
}

async function openObject(
  root: string,
  key: string,
  start: number,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const found = await statObject(root, key);
  return found && readPieces(fileURLToPath(found.uri), { key, start });
}

const PIECE_BYTES = 256 * 1024;

async function* readPieces(
  file: string,
  { key, start }: { readonly key: string; readonly start: number },
): AsyncGenerator<Uint8Array> {
  const handle = await attempt('read', key, () => open(file, 'r').catch(throwMissing(file)));
  try {
    const buffer = new Uint8Array(PIECE_BYTES);
    for (let at = start; ;) {
      const { bytesRead } = await attempt('read', key, () => handle.read(buffer, 0, PIECE_BYTES, at));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

function throwMissing(file: string): (error: unknown) => never {
  return (error) => {
    throw hasErrorCode(error, 'ENOENT', 'ENOTDIR') ? missingObject(file) : error;
  };
}

function missingObject(file: string): AnnealError {
  return new AnnealError(
    'InputMissing',
    `"${file}" is no longer in the artifact store. Run the step that made it again.`,
  );
}

async function fetchObject(file: string, localPath: string, shareFiles: boolean): Promise<void> {
  const found = await stat(file).catch(undefinedWhenAbsent);
  if (found === undefined || !found.isFile()) throw missingObject(file);
  await rm(localPath, { force: true });
  for (const way of [reflink, ...(shareFiles ? [hardLink] : [])]) if (await way(file, localPath)) return;
  await copyFile(file, localPath, constants.COPYFILE_EXCL);
}

async function reflink(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    await rm(to, { force: true });
    if (
      hasErrorCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS', 'EINVAL', 'ENOTTY', 'EPERM', 'EACCES')
    )
      return false;
    throw error;
  }
}

async function hardLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasErrorCode(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'ENOSYS', 'EACCES')) return false;
    throw error;
  }
}

async function* listObjects(root: string, prefix: string): AsyncGenerator<StoredObject> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  if (folder !== '') checkKey(folder.slice(0, -1));
  yield* walk({ root, prefix }, folder);
}

async function* walk(
  search: { readonly root: string; readonly prefix: string },
  folder: string,
): AsyncGenerator<StoredObject> {
  const read = () =>
    readdir(path.join(search.root, folder), { withFileTypes: true }).catch(undefinedWhenAbsent);
  const entries = (await attempt('list', folder, read)) ?? [];
  // A folder sorts as its name and a slash: that is the order of the keys below it.
  const keys = entries.map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : '')).sort();
  for (const key of keys) {
    if (
      key === `${INCOMING}/` ||
      !(key.startsWith(search.prefix) || (key.endsWith('/') && search.prefix.startsWith(key)))
    )
      continue;
    if (key.endsWith('/')) yield* walk(search, key);
    else {
      const found = await statObject(search.root, key);
      if (found) yield found;
    }
  }
}
