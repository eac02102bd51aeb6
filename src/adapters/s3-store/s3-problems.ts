import { AnnealError } from '../../core/failures.js';

/** What went wrong, as far as it decides what to do next. */
export type S3ProblemKind =
  | 'transient'
  | 'expired'
  | 'absent'
  | 'exists'
  | 'beyond-end'
  | 'no-upload'
  | 'bad-part'
  | 'no-bucket'
  | 'denied'
  | 'wrong-key'
  | 'wrong-region'
  | 'no-credentials'
  | 'no-region'
  | 'clock'
  | 'local'
  | 'unclear'
  | 'other';

/** What was asked of the service. */
export interface S3Action {
  /** Such as "store", "read". */
  readonly verb: string;
  readonly key: string;
}

/** The kind of an error of the SDK or of the connection. Sources: the error codes of Amazon S3's REST API, and what Node says of sockets. */
export function classifyS3Error(error: unknown): S3ProblemKind {
  if (!(error instanceof Error)) return 'other';
  const code = codeOf(error);
  const known = BY_CODE.get(error.name) ?? (code === undefined ? undefined : BY_CODE.get(code));
  if (known !== undefined) return known;
  if (error.message === 'Region is missing') return 'no-region';
  const status = statusOf(error);
  if (status !== undefined && !(status < 300))
    return status === 400 && hasCode(error) ? 'other' : byStatus(status);
  if (code !== undefined && LOCAL.has(code)) return 'local';
  // Whatever a socket says: without an answer nothing is known, and asking again is safe.
  return code !== undefined || CUT.test(error.message) ? 'transient' : 'other';
}

/** Whether nobody knows what became of a request: its answer did not come. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof Error && classifyS3Error(error) === 'transient' && statusOf(error) === undefined;
}

/** An error of the service as the store's: one sentence with what was tried, what it said and what to do. */
export function toS3StoreError(
  { verb, key }: S3Action,
  of: { readonly bucket: string; readonly endpoint: string | undefined },
  error: unknown,
): AnnealError {
  if (error instanceof AnnealError) return error;
  const kind = classifyS3Error(error);
  const where = of.endpoint === undefined ? '' : ` at ${of.endpoint}`;
  const [found, next] = WORDS[kind] ?? ['', 'It is tried again later.'];
  const said = found === '' ? reasonOf(error) : found.replace('%', reasonOf(error));
  return new AnnealError(
    IN_CONFIG.has(kind) ? 'InvalidConfig' : 'StoreUnavailable',
    `The artifact store cannot ${verb} "${key}" in bucket "${of.bucket}"${where}: ${said}. ${next}`,
    { cause: error },
  );
}

const BY_CODE: ReadonlyMap<string, S3ProblemKind> = new Map(
  Object.entries({
    NoSuchKey: 'absent',
    NotFound: 'absent',
    ObjectParentIsFile: 'absent',
    NoSuchUpload: 'no-upload',
    InvalidPart: 'bad-part',
    InvalidPartOrder: 'bad-part',
    NoSuchBucket: 'no-bucket',
    InvalidBucketName: 'no-bucket',
    InvalidRange: 'beyond-end',
    ExpiredToken: 'expired',
    ExpiredTokenException: 'expired',
    TokenRefreshRequired: 'expired',
    InvalidAccessKeyId: 'wrong-key',
    InvalidToken: 'wrong-key',
    SignatureDoesNotMatch: 'wrong-key',
    AccessDenied: 'denied',
    AllAccessDisabled: 'denied',
    AuthorizationHeaderMalformed: 'wrong-region',
    PermanentRedirect: 'wrong-region',
    IllegalLocationConstraintException: 'wrong-region',
    RequestTimeTooSkewed: 'clock',
    CredentialsProviderError: 'no-credentials',
    ConditionalRequestConflict: 'transient',
    OperationAborted: 'transient',
    RequestTimeout: 'transient',
    TimeoutError: 'transient',
    SlowDown: 'transient',
    BadDigest: 'transient',
    InvalidDigest: 'transient',
    XAmzContentChecksumMismatch: 'transient',
    XAmzContentSHA256Mismatch: 'transient',
    IncompleteBody: 'transient',
  } satisfies Record<string, S3ProblemKind>),
);

/** Errors of this machine's disks. */
const LOCAL = new Set([
  'ENOSPC',
  'EDQUOT',
  'ENOENT',
  'EACCES',
  'EPERM',
  'EROFS',
  'EISDIR',
  'ENOTDIR',
  'EIO',
  'EMFILE',
]);
const CUT = /aborted|premature close|socket hang up|terminated|timed? ?out|Parse Error/i;

function byStatus(status: number): S3ProblemKind {
  if (status >= 500 || status === 408 || status === 409 || status === 429) return 'transient';
  if (status === 404) return 'absent';
  if (status === 412) return 'exists';
  if (status === 416) return 'beyond-end';
  if (status === 403) return 'denied';
  // The answer to a HEAD has no body: an expired token and a wrong region look the same.
  if (status === 400) return 'unclear';
  if (status === 301 || status === 307) return 'wrong-region';
  return 'other';
}

const IN_CONFIG: ReadonlySet<S3ProblemKind> = new Set([
  'no-bucket',
  'denied',
  'wrong-key',
  'wrong-region',
  'no-credentials',
  'no-region',
  'expired',
  'clock',
]);

/** What was found (`%`: what the service said) and the next step. */
const WORDS: { readonly [kind in S3ProblemKind]?: readonly [found: string, next: string] } = {
  transient: [
    'it does not answer, or not with success (%)',
    'Check the endpoint and the network; it is tried again later.',
  ],
  expired: [
    'the credentials have expired (%)',
    'Renew them (for example with "aws sso login"), and restart the worker if they are in its environment.',
  ],
  'no-bucket': ['there is no such bucket', 'Create it, or correct store: in anneal.yaml.'],
  denied: [
    'the credentials may not do that (%)',
    'Allow s3:ListBucket, s3:ListBucketMultipartUploads on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload, s3:ListMultipartUploadParts below the prefix.',
  ],
  'wrong-key': [
    'the service does not accept the credentials (%)',
    'Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.',
  ],
  'wrong-region': [
    'the bucket is in another region (%)',
    'Set AWS_REGION, or s3.region in anneal.yaml, to the region of the bucket.',
  ],
  'no-credentials': [
    'no credentials were found (%)',
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.',
  ],
  'no-region': ['no region is set', 'Set AWS_REGION, or s3.region in anneal.yaml.'],
  clock: ['the clock of this machine is wrong (%)', 'Set the clock.'],
  local: ['a file of this machine cannot be used (%)', 'Check free space and permissions of that disk.'],
  absent: ['it is not there', 'Run the step that made it again.'],
  'bad-part': ['a part of the upload changed under it (%)', 'It is tried again later.'],
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const status = statusOf(error);
  const name = ['Error', 'Unknown'].includes(error.name) ? codeOf(error) : error.name;
  // A refused connection to a name with two addresses has no message of its own.
  const text =
    error.message === '' || error.message === 'UnknownError' ? '' : error.message.replace(/\.$/, '');
  const parts = [name, text].filter(
    (part) => part !== undefined && part !== '' && !(part === name && text.includes(part)),
  );
  return parts.length > 0 ? parts.join(': ') : status === undefined ? 'no reason given' : `status ${status}`;
}

function hasCode(error: Error): boolean {
  return 'Code' in error && typeof error.Code === 'string';
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function statusOf(error: Error): number | undefined {
  const metadata = '$metadata' in error ? error.$metadata : undefined;
  return typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
    ? Number(metadata.httpStatusCode)
    : undefined;
}
