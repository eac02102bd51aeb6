import { createHash } from 'node:crypto';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';

import { AnnealError } from '../../core/failures.js';
import { withTemporaryFile } from '../file-store/place-file.js';
import { PART_BYTES_KEY, SHA256_KEY, createCompositeHash, readComposite } from './checksums.js';
import type { S3Connection } from './connect-s3.js';
import type { OpenObject } from './read-object.js';
import { openInParts, type PartedRead } from './read-in-parts.js';
import { toS3StoreError } from './s3-problems.js';

/** An object and where it goes. */
export interface FileFetch extends PartedRead {
  readonly uri: string;
  readonly localPath: string;
  /** Hex, of what was recorded elsewhere; default: what the store has recorded itself. */
  readonly sha256?: string;
}

/**
 * Puts an object at a local path, in place of what is there, when its size and its checksum have been verified; before that it is a
 * temporary file beside it.
 * @throws AnnealError InputMissing when it is not there, or is not what was stored.
 */
export async function fetchObject(connection: S3Connection, fetch: FileFetch): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const mismatch = await withTemporaryFile(path.dirname(fetch.localPath), async (temporary) => {
      const problem = await download(connection, fetch, temporary);
      if (problem === undefined) await rename(temporary, fetch.localPath);
      return problem;
    }).catch((error: unknown) => {
      throw toS3StoreError({ verb: 'read', key: fetch.objectKey }, connection, error);
    });
    if (mismatch === undefined) return;
    // Once more: what is wrong may be what was transferred, and not what is stored.
    if (attempt === 2)
      throw new AnnealError(
        'InputMissing',
        `"${fetch.uri}" is not what was stored: ${mismatch}. Run the step that made it again.`,
      );
  }
}

async function download(
  connection: S3Connection,
  fetch: FileFetch,
  target: string,
): Promise<string | undefined> {
  const { objectKey, uri, sha256 } = fetch;
  const object = await openInParts(connection, fetch);
  if (object === undefined)
    throw new AnnealError(
      'InputMissing',
      `"${uri}" is no longer in the artifact store. Run the step that made it again.`,
    );
  try {
    const check = await createCheck(connection, { objectKey, object, sha256 });
    const written = await write(object, target, check?.update);
    if (written !== object.sizeBytes) return `it has ${object.sizeBytes} bytes, ${written} arrived`;
    const found = check?.digest();
    return found === check?.expected ? undefined : `its sha256 is ${found} instead of ${check?.expected}`;
  } finally {
    object.close();
  }
}

async function write(
  object: OpenObject,
  target: string,
  update: ((bytes: Uint8Array) => void) | undefined,
): Promise<number> {
  // Read-only, as what the store in a folder hands out.
  const handle = await open(target, 'wx', 0o444);
  let written = 0;
  try {
    for await (const chunk of object.chunks) {
      update?.(chunk);
      await handle.writeFile(chunk);
      written += chunk.byteLength;
    }
  } finally {
    await handle.close();
  }
  return written;
}

interface Check {
  update(bytes: Uint8Array): void;
  digest(): string;
  readonly expected: string;
}

/** What an object is compared with: the sha256 that is known, else what the service has verified part by part. */
async function createCheck(
  { bucket, call }: S3Connection,
  of: { readonly objectKey: string; readonly object: OpenObject; readonly sha256: string | undefined },
): Promise<Check | undefined> {
  const { objectKey, object, sha256 } = of;
  const expected = sha256 ?? object.metadata[SHA256_KEY];
  if (expected !== undefined) {
    const hash = createHash('sha256');
    return { expected, update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
  }
  const partBytes = Number(object.metadata[PART_BYTES_KEY]);
  if (!(partBytes > 0)) return undefined;
  const head = await call({ verb: 'read', key: objectKey }, (s3) =>
    s3.headObject({ Bucket: bucket, Key: objectKey, ChecksumMode: 'ENABLED' }),
  );
  const composite = readComposite(head.ChecksumSHA256);
  return composite === undefined ? undefined : { ...createCompositeHash(partBytes), expected: composite };
}
