/**
 * Codes that this client makes up itself. Every other code is MLflow's own `error_code`, unchanged:
 * `RESOURCE_DOES_NOT_EXIST`, `RESOURCE_ALREADY_EXISTS`, `INVALID_PARAMETER_VALUE` and so on.
 */
export const CLIENT_ERROR_CODES = {
  /** 401: credentials are missing or wrong. */
  AUTH: 'AUTH',
  /** The server's host check refused the address that we used. */
  HOST_REFUSED: 'HOST_REFUSED',
  /** The server's cross-origin check refused the request. */
  ORIGIN_REFUSED: 'ORIGIN_REFUSED',
  /** The server runs with `--no-serve-artifacts`. */
  ARTIFACT_PROXY_OFF: 'ARTIFACT_PROXY_OFF',
  /** The server runs with `--artifacts-only` and has no tracking API. */
  ARTIFACTS_ONLY: 'ARTIFACTS_ONLY',
  /** The artifacts do not live behind MLflow's proxy (`s3://...`): another client has to move them. */
  ARTIFACT_STORE_DIRECT: 'ARTIFACT_STORE_DIRECT',
  /** A local file to upload cannot be read, or one to download cannot be written. */
  LOCAL_FILE: 'LOCAL_FILE',
  /** No connection was made, so nothing was sent. */
  UNREACHABLE: 'UNREACHABLE',
  /** The connection broke after the request had been sent. */
  CONNECTION_LOST: 'CONNECTION_LOST',
  /** No answer within the time limit. */
  TIMEOUT: 'TIMEOUT',
  /** The answer is not what MLflow's protocol says. */
  BAD_RESPONSE: 'BAD_RESPONSE',
  /** The server answered with a redirect, which this client never follows. */
  REDIRECTED: 'REDIRECTED',
  /** Something between us and MLflow, or an MLflow without an `error_code`, answered with an error. */
  HTTP_ERROR: 'HTTP_ERROR',
  /** A unique index refused a concurrent write: read again, then repeat at most once. */
  WRITE_CONFLICT: 'WRITE_CONFLICT',
  /** The caller's argument can never work; nothing was sent. */
  INVALID_ARGUMENT: 'INVALID_ARGUMENT',
  /** An option or an `MLFLOW_*` variable is wrong. */
  INVALID_CONFIGURATION: 'INVALID_CONFIGURATION',
} as const;

/** A code of this client. */
export type ClientErrorCode = (typeof CLIENT_ERROR_CODES)[keyof typeof CLIENT_ERROR_CODES];

/** What an {@link MlflowError} carries. */
export interface MlflowErrorDetails {
  readonly code: string;
  readonly message: string;
  /** HTTP status, when there was an answer. */
  readonly status?: number | undefined;
  /** MLflow's `error_code`, also where `code` is our own. */
  readonly serverCode?: string | undefined;
  readonly retryable?: boolean | undefined;
  readonly doubt?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * The one error of this package. Test it by `code`, never by its text; across package copies use
 * {@link isMlflowError} instead of `instanceof`.
 */
export class MlflowError extends Error {
  /** Our own code ({@link CLIENT_ERROR_CODES}) or MLflow's `error_code`. */
  readonly code: string;
  readonly status: number | undefined;
  readonly serverCode: string | undefined;
  /** The same call may succeed later. For a create with `doubt`, search before repeating it. */
  readonly retryable: boolean;
  /** True when a request that must not be repeated blindly may have been executed. */
  readonly doubt: boolean;
  /** What the server asked us to wait, when it was longer than the client is ready to. */
  readonly retryAfterMs: number | undefined;

  constructor(details: MlflowErrorDetails) {
    super(details.message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'MlflowError';
    this.code = details.code;
    this.status = details.status;
    this.serverCode = details.serverCode;
    this.retryable = details.retryable ?? false;
    this.doubt = details.doubt ?? false;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Whether a caught value is an {@link MlflowError}, optionally one with the given code. */
export function isMlflowError(error: unknown, code?: string): error is MlflowError {
  if (!(error instanceof Error) || error.name !== 'MlflowError' || !('code' in error)) return false;
  return code === undefined || error.code === code;
}

/** An error about an argument; nothing was sent. */
export function invalidArgument(message: string): MlflowError {
  return new MlflowError({ code: CLIENT_ERROR_CODES.INVALID_ARGUMENT, message });
}

/** Whether the failed request may have changed something on the server, repeatable or not. */
export function mayHaveBeenExecuted(error: MlflowError): boolean {
  const silent: readonly string[] = [
    CLIENT_ERROR_CODES.TIMEOUT,
    CLIENT_ERROR_CODES.CONNECTION_LOST,
    CLIENT_ERROR_CODES.BAD_RESPONSE,
  ];
  return silent.includes(error.code) || (error.status !== undefined && error.status >= 500);
}
