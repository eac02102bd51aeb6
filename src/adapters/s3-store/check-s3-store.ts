import { randomUUID } from 'node:crypto';

import type { ArtifactStore } from '../../core/artifact-store.js';
import type { S3Access } from './create-s3-store.js';

/** What was found out about a bucket that can be reached and written. */
export interface S3Findings {
  /** Whether of two writers that ask to be the first, one is. */
  readonly conditionalWrites: boolean;
  /** Whether checksums are kept, against which a large file is verified when it is fetched. */
  readonly checksums: boolean;
  /** The service's clock against this machine's. */
  readonly clockOffsetMs: number;
}

/**
 * Writes, reads and removes an object, and looks at what a store of Anneal relies on.
 * @throws AnnealError StoreUnavailable, or InvalidConfig with what to correct.
 */
export async function checkS3Store(
  { connection, keys }: S3Access,
  store: ArtifactStore,
  clock: { nowMs(): number },
): Promise<S3Findings> {
  const folder = `.probe/${randomUUID()}/`;
  const key = `${folder}object`;
  // Tells a bucket that is not there from an object that is not, which the answer to a look at one object does not.
  for await (const _ of store.list(folder)) break;
  const bytes = new TextEncoder().encode('anneal');
  try {
    await store.putBytes(key, bytes, { ifAbsent: true });
    const again = await store.putBytes(key, bytes, { ifAbsent: true });
    const { bucket, call } = connection;
    const objectKey = keys.objectKey(key);
    const found = await call({ verb: 'read', key: objectKey }, (s3) =>
      s3.headObject({ Bucket: bucket, Key: objectKey, ChecksumMode: 'ENABLED' }),
    );
    return {
      conditionalWrites: again === 'exists',
      checksums: found.ChecksumSHA256 !== undefined,
      clockOffsetMs: (found.LastModified?.getTime() ?? clock.nowMs()) - clock.nowMs(),
    };
  } finally {
    await store.removeAll(folder);
  }
}
