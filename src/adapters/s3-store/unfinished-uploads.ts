import type { S3Connection } from './connect-s3.js';

/** A part that the service has. */
export interface KnownPart {
  readonly number: number;
  readonly etag: string;
  /** Base64 sha256. */
  readonly checksum: string;
  readonly sizeBytes: number;
}

/** An upload in parts that is not finished. */
export interface UnfinishedUpload {
  readonly objectKey: string;
  readonly uploadId: string;
  /** By number. */
  readonly parts: ReadonlyMap<number, KnownPart>;
}

/**
 * The newest upload of a key that was left unfinished and whose parts are cut as they would be now, if there is one. It is
 * nobody's in particular: parts with the right checksums are the right parts whoever sent them.
 */
export async function findUploadToResume(
  connection: S3Connection,
  file: { readonly objectKey: string; readonly partBytes: number; readonly sizeBytes: number },
): Promise<UnfinishedUpload | undefined> {
  const { objectKey, partBytes, sizeBytes } = file;
  const found: FoundUpload[] = [];
  for await (const upload of listUploads(connection, objectKey))
    if (upload.objectKey === objectKey) found.push(upload);
  found.sort((a, b) => b.initiatedAtMs - a.initiatedAtMs);
  for (const upload of found) {
    const { parts } = await readParts(connection, upload);
    const sizes = [...parts.values()];
    const fits = ({ number, sizeBytes: size }: KnownPart) =>
      size === Math.min(partBytes, sizeBytes - (number - 1) * partBytes);
    // One without parts tells nothing of the size that it was begun with.
    if (sizes.length > 0 && sizes.every(fits)) return { ...upload, parts };
  }
  return undefined;
}

/** Ends an upload; one that is gone already is fine. */
export async function abortUpload(
  { bucket, call }: S3Connection,
  { objectKey, uploadId }: Pick<UnfinishedUpload, 'objectKey' | 'uploadId'>,
): Promise<void> {
  const action = { verb: 'end the upload of', key: objectKey };
  await call(
    action,
    async (s3) =>
      void (await s3.abortMultipartUpload({ Bucket: bucket, Key: objectKey, UploadId: uploadId })),
    { 'no-upload': undefined, absent: undefined },
  );
}

/**
 * Ends the uploads below a prefix that nobody has sent anything to since a time.
 * @returns keys whose uploads were ended.
 */
export async function abortUploads(
  connection: S3Connection,
  prefix: string,
  idleSinceMs: number = Infinity,
): Promise<string[]> {
  const ended: string[] = [];
  for await (const upload of listUploads(connection, prefix)) {
    if (upload.initiatedAtMs > idleSinceMs) continue;
    if (idleSinceMs !== Infinity && (await readParts(connection, upload)).touchedAtMs > idleSinceMs) continue;
    await abortUpload(connection, upload);
    ended.push(upload.objectKey);
  }
  return ended;
}

interface FoundUpload {
  readonly objectKey: string;
  readonly uploadId: string;
  readonly initiatedAtMs: number;
}

async function* listUploads({ bucket, call }: S3Connection, prefix: string): AsyncGenerator<FoundUpload> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await call({ verb: 'list the uploads of', key: prefix }, (s3) =>
      s3.listMultipartUploads({ Bucket: bucket, Prefix: prefix, ...marker }),
    );
    for (const { Key: objectKey, UploadId: uploadId, Initiated: initiated } of page.Uploads ?? [])
      if (objectKey !== undefined && uploadId !== undefined)
        yield { objectKey, uploadId, initiatedAtMs: initiated?.getTime() ?? 0 };
    const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
    if (page.IsTruncated !== true || KeyMarker === undefined || UploadIdMarker === undefined) return;
    marker = { KeyMarker, UploadIdMarker };
  }
}

async function readParts(
  { bucket, call }: S3Connection,
  { objectKey, uploadId }: FoundUpload,
): Promise<{ readonly parts: ReadonlyMap<number, KnownPart>; readonly touchedAtMs: number }> {
  const parts = new Map<number, KnownPart>();
  let touchedAtMs = 0;
  let marker: { PartNumberMarker?: string } = {};
  for (;;) {
    const page = await call(
      { verb: 'read the upload of', key: objectKey },
      (s3) => s3.listParts({ Bucket: bucket, Key: objectKey, UploadId: uploadId, ...marker }),
      { 'no-upload': undefined, absent: undefined },
    );
    for (const { PartNumber: number, ETag: etag = '', Size: sizeBytes = 0, ...part } of page?.Parts ?? []) {
      touchedAtMs = Math.max(touchedAtMs, part.LastModified?.getTime() ?? 0);
      if (number !== undefined)
        parts.set(number, { number, etag, sizeBytes, checksum: part.ChecksumSHA256 ?? '' });
    }
    const next = page?.NextPartNumberMarker;
    if (page?.IsTruncated !== true || next === undefined) return { parts, touchedAtMs };
    marker = { PartNumberMarker: next };
  }
}
