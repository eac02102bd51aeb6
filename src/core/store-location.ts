import { AnnealError } from './failures.js';

/** Where an artifact store is. */
export interface StoreLocation {
  /** Absolute path of a directory, or `s3://bucket` or `s3://bucket/prefix`, without a slash at the end. */
  readonly root: string;
  /** What AWS's own variables and profiles leave open; of a store in a directory, nothing. */
  readonly s3?: S3Settings;
}

/** How an S3 service is reached. What is absent comes from AWS's variables and profiles. Holds no credentials. */
export interface S3Settings {
  /** Such as `http://127.0.0.1:9000`; absent: AWS. */
  readonly endpoint?: string;
  readonly region?: string;
  /** Bucket in the path instead of in the host name. Default: with an endpoint of one's own. */
  readonly forcePathStyle?: boolean;
}

/** Whether a location is of the kind `s3://`. */
export function isS3Uri(text: string): boolean {
  return text.startsWith('s3://');
}

/** What is wrong with the text of an `s3://` location, as "it must be ..."; `undefined` when nothing is. */
export function s3UriProblem(uri: string): string | undefined {
  const [bucket = '', ...segments] = uri.slice('s3://'.length).replace(/\/$/, '').split('/');
  if (!BUCKET.test(bucket))
    return 's3://BUCKET or s3://BUCKET/PREFIX; a bucket has 3 to 63 lower-case letters, digits, "-" and "."';
  if (segments.some((segment) => ['', '.', '..'].includes(segment) || segment.includes('\0')))
    return 's3://BUCKET/PREFIX without empty, "." or ".." segments';
  return undefined;
}

/** Bucket and prefix of an `s3://` location; the prefix ends in `/` unless it is empty. @throws AnnealError InvalidConfig */
export function readS3Uri(uri: string): { readonly bucket: string; readonly prefix: string } {
  const problem = isS3Uri(uri) ? s3UriProblem(uri) : 's3://BUCKET or s3://BUCKET/PREFIX';
  if (problem !== undefined)
    throw new AnnealError('InvalidConfig', `The store is "${uri}"; it must be ${problem}.`);
  const [bucket = '', ...segments] = uri.slice('s3://'.length).replace(/\/$/, '').split('/');
  return { bucket, prefix: segments.map((segment) => `${segment}/`).join('') };
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
