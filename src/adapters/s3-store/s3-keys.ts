import { AnnealError } from '../../core/failures.js';
import { readS3Uri } from '../../core/store-location.js';

/** Between keys of the store, keys of the bucket, and URIs. */
export interface S3Keys {
  readonly bucket: string;
  readonly rootUri: string;
  /** The object's key in the bucket. @throws AnnealError InvalidInput for what is no key. */
  objectKey(key: string): string;
  /** What keys of the bucket start with, for a prefix of keys. */
  objectPrefix(prefix: string): string;
  /** The key of an object in the bucket; `undefined` for what is not the store's, such as a marker of a folder. */
  storeKey(objectKey: string): string | undefined;
  uriOf(key: string): string;
  keyOf(uri: string): string;
}

/** Names in a store at `s3://bucket/prefix`. Its URIs hold keys as they are, as other S3 tools write and read them. */
export function createS3Keys(root: string): S3Keys {
  const { bucket, prefix } = readS3Uri(root);
  const rootUri = `s3://${bucket}/${prefix}`.slice(0, -1);
  const objectKey = (key: string) => {
    const whole = prefix + checkKey(key);
    if (Buffer.byteLength(whole) > KEY_BYTES)
      throw new AnnealError(
        'InvalidInput',
        `"${whole}" is ${Buffer.byteLength(whole)} bytes long; S3 allows ${KEY_BYTES}. Give the file a shorter name.`,
      );
    return whole;
  };
  return {
    bucket,
    rootUri,
    objectKey,
    objectPrefix: (start) => {
      const folder = start.slice(0, start.lastIndexOf('/') + 1);
      if (folder !== '') checkKey(folder.slice(0, -1));
      return prefix + start;
    },
    storeKey: (key) =>
      key.startsWith(prefix) && isKey(key.slice(prefix.length)) ? key.slice(prefix.length) : undefined,
    uriOf: (key) => `s3://${bucket}/${objectKey(key)}`,
    keyOf: (uri) => {
      const key = uri.startsWith(`${rootUri}/`) ? uri.slice(rootUri.length + 1) : '';
      if (isKey(key)) return key;
      throw new AnnealError(
        'InvalidInput',
        `"${uri}" is not in this artifact store, whose URIs start with ${rootUri}/.`,
      );
    },
  };
}

/** Limit of Amazon S3. */
const KEY_BYTES = 1024;

function isKey(key: string): boolean {
  return key.split('/').every((segment) => !['', '.', '..'].includes(segment) && !segment.includes('\0'));
}

function checkKey(key: string): string {
  if (isKey(key)) return key;
  throw new AnnealError(
    'InvalidInput',
    `"${key}" is not a key of the artifact store: it must be relative, "/"-separated, without empty, "." or ".." segments.`,
  );
}
