import type { ArtifactStore, StoredObject } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import type { S3ConnectionOptions } from './connect-s3.js';
import { connectS3 } from './connect-s3.js';
import { fetchObject } from './fetch-file.js';
import { createPartBuffers } from './part-buffers.js';
import { openObject } from './read-object.js';
import type { S3Keys } from './s3-keys.js';
import { createS3Keys } from './s3-keys.js';
import type { S3Connection } from './connect-s3.js';
import { removeObjects } from './remove-objects.js';
import { abortUploads } from './unfinished-uploads.js';
import { putObject, uploadFile } from './upload-file.js';

/** Where an S3 store is, and how it is reached. */
export interface S3StoreOptions extends Omit<S3ConnectionOptions, 'bucket'> {
  /** `s3://bucket` or `s3://bucket/prefix`. */
  readonly root: string;
  /** Size of the parts of large files. Default 8 MiB; S3 wants 5 MiB at least. */
  readonly partBytes?: number;
}

/** What is at hand for everything that is done with an S3 store. */
export interface S3Access {
  readonly connection: S3Connection;
  readonly keys: S3Keys;
}

/** Nothing is sent yet. @throws AnnealError InvalidConfig for a root that names no bucket. */
export function accessS3({ root, ...options }: S3StoreOptions): S3Access {
  const keys = createS3Keys(root);
  return { keys, connection: connectS3({ ...options, bucket: keys.bucket }) };
}

/**
 * An artifact store in a bucket of Amazon S3 or of a service like it. In memory are at most four parts of files on their way there and
 * 12 MiB of files on their way back, whatever their size; an object is visible when the service has all of it and has verified its checksum.
 */
export function createS3Store(options: S3StoreOptions): ArtifactStore {
  const { connection, keys } = accessS3(options);
  const partBytes = options.partBytes ?? PART_BYTES;
  const upload = { connection, partBytes, buffers: createPartBuffers(PARTS_AT_ONCE, partBytes) };
  const read = { partBytes: READ_BYTES, buffers: createPartBuffers(PARTS_READ_AHEAD, READ_BYTES) };
  return {
    rootUri: keys.rootUri,
    uriOf: keys.uriOf,
    keyOf: keys.keyOf,
    putFile: async (key, localPath) =>
      await uploadFile(upload, { objectKey: keys.objectKey(key), localPath }),
    putBytes: async (key, bytes, putOptions) => {
      const put = { objectKey: keys.objectKey(key), bytes, ifAbsent: putOptions?.ifAbsent === true };
      const { result, attempt } = await putObject(connection, put);
      // The answer to an earlier try may be what was lost: then what exists is ours.
      if (result === 'stored' || attempt === 1) return result;
      const there = await readWhole(connection, put.objectKey);
      return there !== undefined && Buffer.compare(there, bytes) === 0 ? 'stored' : 'exists';
    },
    readBytes: async (key) => await readWhole(connection, keys.objectKey(key)),
    openRead: async (key, readOptions) => {
      const objectKey = keys.objectKey(key);
      if ((await stat({ connection, keys }, key)) === undefined) return undefined;
      return readLazily(connection, objectKey, readOptions?.start ?? 0);
    },
    stat: async (key) => await stat({ connection, keys }, key),
    fetchFile: async (key, localPath) =>
      await fetchObject(connection, {
        ...read,
        objectKey: keys.objectKey(key),
        uri: keys.uriOf(key),
        localPath,
      }),
    list: (prefix) => listObjects({ connection, keys }, keys.objectPrefix(prefix)),
    removeAll: async (prefix) => {
      if (!prefix.endsWith('/'))
        throw new AnnealError(
          'InvalidInput',
          `Only a prefix that ends in "/" can be removed, found "${prefix}".`,
        );
      const start = keys.objectPrefix(prefix);
      await abortUploads(connection, start);
      await removeObjects({ connection, keys }, start, keysOf(listObjects({ connection, keys }, start)));
    },
    remove: async (removed) => await removeObjects({ connection, keys }, '', removed),
  };
}

const PART_BYTES = 8 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
/** Read in smaller pieces than it is sent: nothing is kept of them, and workers fetch several inputs at once. */
const READ_BYTES = 4 * 1024 * 1024;
const PARTS_READ_AHEAD = 3;

async function readWhole(connection: S3Connection, objectKey: string): Promise<Uint8Array | undefined> {
  const object = await openObject(connection, objectKey);
  if (object === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of object.chunks) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* readLazily(
  connection: S3Connection,
  objectKey: string,
  start: number,
): AsyncGenerator<Uint8Array> {
  const object = await openObject(connection, objectKey, { start });
  if (object !== undefined) yield* object.chunks;
}

async function stat({ connection, keys }: S3Access, key: string): Promise<StoredObject | undefined> {
  const objectKey = keys.objectKey(key);
  const { bucket, call } = connection;
  const found = await call(
    { verb: 'read', key: objectKey },
    (s3) => s3.headObject({ Bucket: bucket, Key: objectKey }),
    { absent: undefined },
  );
  if (found === undefined) return undefined;
  return {
    key,
    uri: keys.uriOf(key),
    sizeBytes: found.ContentLength ?? 0,
    modifiedAtMs: found.LastModified?.getTime() ?? 0,
    ...(found.ETag === undefined ? {} : { etag: found.ETag }),
  };
}

async function* listObjects({ connection, keys }: S3Access, start: string): AsyncGenerator<StoredObject> {
  const { bucket, call } = connection;
  let token: string | undefined;
  for (;;) {
    const page = await call({ verb: 'list', key: start }, (s3) =>
      s3.listObjectsV2({
        Bucket: bucket,
        Prefix: start,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
    );
    for (const { Key: objectKey = '', Size: sizeBytes = 0, LastModified, ETag: etag } of page.Contents ??
      []) {
      const key = keys.storeKey(objectKey);
      if (key === undefined) continue;
      const modifiedAtMs = LastModified?.getTime() ?? 0;
      yield { key, uri: keys.uriOf(key), sizeBytes, modifiedAtMs, ...(etag === undefined ? {} : { etag }) };
    }
    token = page.NextContinuationToken;
    if (page.IsTruncated !== true || token === undefined) return;
  }
}

async function* keysOf(objects: AsyncIterable<StoredObject>): AsyncGenerator<string> {
  for await (const { key } of objects) yield key;
}
