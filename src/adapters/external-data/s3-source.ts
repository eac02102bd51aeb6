import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';

import type { ExternalData } from '../../activities/ports/external-data.js';
import { AnnealError } from '../../core/failures.js';
import type { PinnedObject } from '../../core/dataset-pin.js';
import type { FoundData } from '../../core/pinned-data.js';
import { PINNED_OBJECTS } from '../../core/pinned-data.js';
import type { S3ConnectionOptions, S3Connection } from '../s3-store/connect-s3.js';
import { connectS3 } from '../s3-store/connect-s3.js';
import { openObject } from '../s3-store/read-object.js';
import { classifyS3Error } from '../s3-store/s3-problems.js';
import { changedData } from './changed-data.js';
import { tooMany } from './file-source.js';

/**
 * Objects in buckets. A single one is known again by its version, where the bucket keeps versions, and by its ETag; those below a prefix by
 * a listing of key, size and ETag. Nothing is read to pin them.
 */
export function createS3Source(options: Omit<S3ConnectionOptions, 'bucket'>): ExternalData {
  const connections = new Map<string, S3Connection>();
  const connect = (bucket: string) => {
    const found = connections.get(bucket) ?? connectS3({ ...options, bucket });
    connections.set(bucket, found);
    return found;
  };
  return {
    find: async (uri, signal) => {
      const { bucket, key } = readUri(uri);
      const connection = connect(bucket);
      return await explained(uri, async () =>
        key.endsWith('/') || key === ''
          ? await findPrefix(connection, { uri, key }, signal)
          : await findObject(connection, { uri, key }),
      );
    },
    fetch: async (object, { source, localPath }) => {
      const { bucket, key } = readUri(source);
      const at = { uri: `${source}${object.path}`, key: `${key}${object.path}` };
      await explained(at.uri, async () => await fetchObject(connect(bucket), object, { ...at, localPath }));
    },
  };
}

interface Place {
  readonly uri: string;
  readonly key: string;
}

function readUri(uri: string): { readonly bucket: string; readonly key: string } {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]+)\/([^]*)$/.exec(uri) ?? [];
  return { bucket, key };
}

async function findObject(connection: S3Connection, { uri, key }: Place): Promise<FoundData> {
  const head = await readHead(connection, { key });
  if (head === undefined)
    throw new AnnealError(
      'InvalidInput',
      `There is no object ${uri}. Correct the URI; for all objects below it, end it with "/".`,
    );
  return { source: uri, form: 'file', objects: [{ path: '', ...head }] };
}

async function readHead(
  { bucket, call }: S3Connection,
  { key, versionId }: { readonly key: string; readonly versionId?: string | undefined },
): Promise<Omit<PinnedObject, 'path'> | undefined> {
  const head = await call(
    { verb: 'read', key },
    (s3) =>
      s3.headObject({
        Bucket: bucket,
        Key: key,
        ChecksumMode: 'ENABLED',
        ...(versionId === undefined ? {} : { VersionId: versionId }),
      }),
    { absent: undefined },
  );
  if (head === undefined) return undefined;
  const { ETag: etag, VersionId: version, ChecksumSHA256: checksum } = head;
  // A composite checksum, of parts, ends in "-" and their number.
  const whole = checksum !== undefined && !checksum.includes('-') && head.ChecksumType !== 'COMPOSITE';
  return {
    sizeBytes: head.ContentLength ?? 0,
    ...(etag === undefined ? {} : { etag }),
    ...(version === undefined || version === 'null' ? {} : { versionId: version }),
    ...(whole ? { sha256: Buffer.from(checksum, 'base64').toString('hex') } : {}),
  };
}

async function findPrefix(
  { bucket, call }: S3Connection,
  { uri, key: prefix }: Place,
  signal: AbortSignal,
): Promise<FoundData> {
  const objects: PinnedObject[] = [];
  let token: string | undefined;
  do {
    signal.throwIfAborted();
    const continuation = token;
    const page = await call({ verb: 'list', key: prefix }, (s3) =>
      s3.listObjectsV2({
        Bucket: bucket,
        Prefix: prefix,
        ...(continuation === undefined ? {} : { ContinuationToken: continuation }),
      }),
    );
    for (const { Key: key = '', Size: sizeBytes = 0, ETag: etag } of page.Contents ?? []) {
      // The marker of a folder.
      if (key.endsWith('/') && sizeBytes === 0) continue;
      objects.push({ path: checkPath(uri, key.slice(prefix.length)), sizeBytes, ...(etag && { etag }) });
    }
    if (objects.length > PINNED_OBJECTS) throw tooMany(uri, objects.length);
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
  if (objects.length === 0)
    throw new AnnealError('InvalidInput', `There are no objects below ${uri}. Correct the URI.`);
  return { source: uri, form: 'directory', objects };
}

/** A key that becomes a path. @throws AnnealError InvalidInput where it cannot. */
function checkPath(uri: string, path: string): string {
  const problem = path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (!problem && !path.includes('\0')) return path;
  throw new AnnealError(
    'InvalidInput',
    `Below ${uri} there is a key "${path}", which cannot be a path of a file. Pin another prefix.`,
  );
}

async function fetchObject(
  connection: S3Connection,
  object: PinnedObject,
  { uri, key, localPath }: Place & { readonly localPath: string },
): Promise<void> {
  const { etag: ifMatch, versionId, sizeBytes, sha256 } = object;
  const changed = async () => {
    const now = await readHead(connection, { key });
    return changedData(`object ${uri}`, { pinned: describe(object), now: now ? describe(now) : 'gone' });
  };
  const found = await openObject(connection, key, { ifMatch, versionId });
  // A service that does not know If-Match sends what is there.
  if (
    found === undefined ||
    found.sizeBytes !== sizeBytes ||
    (ifMatch !== undefined && found.etag !== ifMatch)
  ) {
    found?.close();
    throw await changed();
  }
  const hash = createHash('sha256');
  // Read-only, as what the store hands out.
  const handle = await open(localPath, 'wx', 0o444);
  try {
    for await (const chunk of found.chunks) {
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
  } catch (error) {
    await rm(localPath, { force: true });
    throw error;
  } finally {
    found.close();
    await handle.close();
  }
  if (sha256 === undefined || hash.digest('hex') === sha256) return;
  await rm(localPath, { force: true });
  throw await changed();
}

function describe({ versionId, etag, sizeBytes }: Omit<PinnedObject, 'path'>): string {
  const version = versionId === undefined ? '' : `version ${versionId}, `;
  return `${version}ETag ${etag ?? 'unknown'}, ${sizeBytes} bytes`;
}

/** What the service says of a dataset, which is not the store. */
async function explained<T>(uri: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AnnealError)) throw error;
    if (error.cause === undefined)
      throw error.code === 'StoreUnavailable' ? new AnnealError('SourceUnavailable', error.message) : error;
    const kind = classifyS3Error(error.cause);
    const reason = error.cause instanceof Error ? error.cause.message : String(error.cause);
    const said = `The dataset ${uri} cannot be read`;
    if (kind === 'no-bucket')
      throw new AnnealError('InvalidInput', `${said}: there is no such bucket. Correct the URI.`);
    if (kind === 'denied')
      throw new AnnealError(
        'InvalidConfig',
        `${said}: the worker's credentials may not. Allow s3:GetObject, s3:GetObjectVersion and s3:ListBucket.`,
      );
    if (kind === 'local') throw error;
    if (error.code === 'InvalidConfig')
      throw new AnnealError('InvalidConfig', `${said}: ${reason}. ${hintOf(error.message)}`);
    throw new AnnealError(
      'SourceUnavailable',
      `${said}: the service does not answer, or not with success (${reason}).`,
      {
        cause: error,
      },
    );
  }
}

/** The last sentence: what to set is the same as for the store. */
function hintOf(message: string): string {
  return message.slice(message.lastIndexOf('. ') + 2);
}
