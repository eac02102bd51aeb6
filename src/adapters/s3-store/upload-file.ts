import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';

import type { FileEntry } from '../../core/artifacts.js';
import { AnnealError } from '../../core/failures.js';
import { openRegularFile } from '../file-store/copy-regular-file.js';
import { PART_BYTES_KEY, SHA256_KEY, sha256Of } from './checksums.js';
import { completeUpload } from './complete-upload.js';
import type { S3Connection } from './connect-s3.js';
import type { PartBuffers } from './part-buffers.js';
import { classifyS3Error } from './s3-problems.js';
import type { KnownPart, UnfinishedUpload } from './unfinished-uploads.js';
import { abortUpload, findUploadToResume } from './unfinished-uploads.js';

/** What uploading needs. */
export interface UploadDeps {
  readonly connection: S3Connection;
  readonly buffers: PartBuffers;
  /** Size of a part; files up to it are sent in one request. */
  readonly partBytes: number;
}

/** A file and where it goes, as a key of the bucket. */
export interface FileUpload {
  readonly objectKey: string;
  readonly localPath: string;
}

/**
 * Stores a local regular file as it is while it is read: the bytes that are hashed are the bytes that are sent, and the service
 * checks what arrives against their sha256. A large file goes up in parts, a few at a time; what an interrupted upload of the same key
 * has brought over is not sent again where its checksums agree.
 */
export async function uploadFile(deps: UploadDeps, { objectKey, localPath }: FileUpload): Promise<FileEntry> {
  const handle = await openRegularFile(localPath);
  try {
    const sizeBytes = (await handle.stat()).size;
    const source = { handle, localPath, sizeBytes };
    const sha256 =
      sizeBytes <= deps.partBytes
        ? await uploadWhole(deps, objectKey, source)
        : await uploadInParts(deps, objectKey, source);
    return { path: path.posix.basename(objectKey), sizeBytes, sha256 };
  } finally {
    await handle.close();
  }
}

interface Source {
  readonly handle: FileHandle;
  readonly localPath: string;
  readonly sizeBytes: number;
}

async function uploadWhole(deps: UploadDeps, objectKey: string, source: Source): Promise<string> {
  const buffer = await deps.buffers.take(source.sizeBytes);
  try {
    const bytes = await readPart(source, buffer.bytes, { at: 0, length: source.sizeBytes });
    return (await putObject(deps.connection, { objectKey, bytes })).sha256;
  } finally {
    buffer.giveBack();
  }
}

/** Stores bytes in one request. `'exists'`: with `ifAbsent`, when somebody else's are there. */
export async function putObject(
  { bucket, call }: S3Connection,
  {
    objectKey,
    bytes,
    ifAbsent,
  }: { readonly objectKey: string; readonly bytes: Uint8Array; readonly ifAbsent?: boolean },
): Promise<{ readonly result: 'stored' | 'exists'; readonly sha256: string; readonly attempt: number }> {
  const checksum = sha256Of(bytes);
  const sha256 = Buffer.from(checksum, 'base64').toString('hex');
  let last = 1;
  const result = await call<'stored', 'exists'>(
    { verb: 'store', key: objectKey },
    async (s3, attempt) => {
      last = attempt;
      await s3.putObject({
        Bucket: bucket,
        Key: objectKey,
        Body: bytes,
        ContentLength: bytes.byteLength,
        ChecksumSHA256: checksum,
        Metadata: { [SHA256_KEY]: sha256 },
        ...(ifAbsent === true ? { IfNoneMatch: '*' } : {}),
      });
      return 'stored';
    },
    ifAbsent === true ? { exists: 'exists' } : {},
  );
  return { result, sha256, attempt: last };
}

async function uploadInParts(deps: UploadDeps, objectKey: string, source: Source): Promise<string> {
  const partBytes = partBytesOf(source.sizeBytes, deps.partBytes);
  const resumable = await findUploadToResume(deps.connection, {
    objectKey,
    partBytes,
    sizeBytes: source.sizeBytes,
  });
  const upload = resumable ?? (await createUpload(deps.connection, objectKey, partBytes));
  try {
    return await sendParts(deps, { upload, source, partBytes });
  } catch (error) {
    const cause = error instanceof AnnealError ? error.cause : error;
    // Somebody else finished or ended the upload that was gone on with, or wrote parts of another file into it.
    if (resumable !== undefined && ['no-upload', 'bad-part'].includes(classifyS3Error(cause))) {
      await abortUpload(deps.connection, upload);
      return await uploadInParts(deps, objectKey, source);
    }
    // What a service that is away has got already serves the next try; everything else would fail again.
    if (classifyS3Error(cause) !== 'transient')
      await abortUpload(deps.connection, upload).catch(() => undefined);
    throw error;
  }
}

/** S3 takes 10,000 parts. */
const PARTS = 10_000;
const MIB = 1024 * 1024;

function partBytesOf(sizeBytes: number, usual: number): number {
  return Math.max(usual, Math.ceil(sizeBytes / PARTS / MIB) * MIB);
}

async function createUpload(
  { bucket, call }: S3Connection,
  objectKey: string,
  partBytes: number,
): Promise<UnfinishedUpload> {
  const { UploadId } = await call({ verb: 'store', key: objectKey }, (s3) =>
    s3.createMultipartUpload({
      Bucket: bucket,
      Key: objectKey,
      ChecksumAlgorithm: 'SHA256',
      Metadata: { [PART_BYTES_KEY]: String(partBytes) },
    }),
  );
  return { objectKey, uploadId: UploadId ?? '', parts: new Map() };
}

interface PartsToSend {
  readonly upload: UnfinishedUpload;
  readonly source: Source;
  readonly partBytes: number;
}

async function sendParts(deps: UploadDeps, { upload, source, partBytes }: PartsToSend): Promise<string> {
  const { connection, buffers } = deps;
  const whole = createHash('sha256');
  const done: KnownPart[] = [];
  const sending: Promise<void>[] = [];
  const failures: unknown[] = [];
  try {
    for (let at = 0, number = 1; at < source.sizeBytes && failures.length === 0; at += partBytes, number++) {
      const length = Math.min(partBytes, source.sizeBytes - at);
      const buffer = await buffers.take(length);
      try {
        const bytes = await readPart(source, buffer.bytes, { at, length });
        whole.update(bytes);
        const checksum = sha256Of(bytes);
        const known = upload.parts.get(number);
        if (known?.checksum === checksum) {
          done.push(known);
          buffer.giveBack();
          continue;
        }
        const sent = sendPart(connection, upload, { number, bytes, checksum })
          .then(
            (part) => void done.push(part),
            (error: unknown) => void failures.push(error),
          )
          .finally(buffer.giveBack);
        sending.push(sent);
      } catch (error) {
        buffer.giveBack();
        throw error;
      }
    }
  } finally {
    await Promise.all(sending);
  }
  if (failures.length > 0) throw failures[0];
  done.sort((a, b) => a.number - b.number);
  await completeUpload(connection, upload, done);
  return whole.digest('hex');
}

async function sendPart(
  { bucket, call }: S3Connection,
  { objectKey, uploadId }: UnfinishedUpload,
  part: { readonly number: number; readonly bytes: Uint8Array; readonly checksum: string },
): Promise<KnownPart> {
  const { number, bytes, checksum } = part;
  const { ETag: etag = '' } = await call({ verb: 'store', key: objectKey }, (s3) =>
    s3.uploadPart({
      Bucket: bucket,
      Key: objectKey,
      UploadId: uploadId,
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.byteLength,
      ChecksumSHA256: checksum,
    }),
  );
  return { number, etag, checksum, sizeBytes: bytes.byteLength };
}

async function readPart(
  { handle, localPath }: Source,
  into: Uint8Array,
  { at, length }: { readonly at: number; readonly length: number },
): Promise<Uint8Array> {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(into, filled, length - filled, at + filled);
    if (bytesRead === 0)
      throw new AnnealError(
        'InvalidInput',
        `"${localPath}" became shorter while it was being stored. Write it to the end before the step ends.`,
      );
    filled += bytesRead;
  }
  return into.subarray(0, length);
}
