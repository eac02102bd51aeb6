import { AnnealError } from '../../core/failures.js';
import type { S3Connection } from './connect-s3.js';
import type { S3Keys } from './s3-keys.js';

/** What S3 takes in one request. */
const REMOVED_AT_ONCE = 1_000;

/**
 * Removes objects by their keys in the store, a thousand in a request. One that is gone is fine.
 * @param about a key or prefix for messages.
 */
export async function removeObjects(
  { connection, keys }: { readonly connection: S3Connection; readonly keys: S3Keys },
  about: string,
  removed: Iterable<string> | AsyncIterable<string>,
): Promise<void> {
  let batch: { Key: string }[] = [];
  const flush = async () => {
    if (batch.length > 0) await removeBatch(connection, about, batch);
    batch = [];
  };
  for await (const key of removed) {
    batch.push({ Key: keys.objectKey(key) });
    if (batch.length === REMOVED_AT_ONCE) await flush();
  }
  await flush();
}

async function removeBatch(
  { bucket, call }: S3Connection,
  about: string,
  batch: { Key: string }[],
): Promise<void> {
  const { Errors: errors = [] } = await call({ verb: 'remove', key: about }, (s3) =>
    s3.deleteObjects({ Bucket: bucket, Delete: { Objects: batch, Quiet: true } }),
  );
  const [first] = errors;
  if (first !== undefined)
    throw new AnnealError(
      first.Code === 'AccessDenied' ? 'InvalidConfig' : 'StoreUnavailable',
      `The artifact store cannot remove "${first.Key ?? about}" in bucket "${bucket}": ${first.Code ?? 'unknown'}: ${first.Message ?? ''}. Allow s3:DeleteObject below the prefix.`,
    );
}
