import { CLIENT_ERROR_CODES as OWN, MlflowError } from './errors.js';

/** An answer that is not a success, reduced to what its meaning depends on. */
export interface RefusedResponse {
  /** What was called, for the message: `POST runs/create`. */
  readonly call: string;
  /** The server's address without credentials. */
  readonly server: string;
  readonly idempotent: boolean;
  readonly status: number;
  readonly text: string;
  /** `Location` of a redirect. */
  readonly location?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

/**
 * Codes that stay the same however often one asks. Their status is no guide: FEATURE_DISABLED and
 * INVALID_STATE come as 500.
 */
const PERMANENT = new Set([
  'ALREADY_EXISTS',
  'BAD_REQUEST',
  'CUSTOMER_UNAUTHORIZED',
  'ENDPOINT_NOT_FOUND',
  'FEATURE_DISABLED',
  'INVALID_PARAMETER_VALUE',
  'INVALID_STATE',
  'NOT_FOUND',
  'NOT_IMPLEMENTED',
  'PERMISSION_DENIED',
  'RESOURCE_ALREADY_EXISTS',
  'RESOURCE_DOES_NOT_EXIST',
  'UNAUTHENTICATED',
]);

/** MLflow passes the database's text on as BAD_REQUEST when two writers meet at a unique index. */
const UNIQUE_VIOLATION = /IntegrityError|UniqueViolation|UNIQUE constraint|duplicate key|Duplicate entry/;

/** Says what a refusal means: by MLflow's `error_code` first, by text and HTTP status second. */
export function classifyResponse(refused: RefusedResponse): MlflowError {
  const body = readErrorBody(refused.text);
  if (refused.status === 401) return authenticationError(refused, body?.errorCode);
  return body === undefined ? classifyText(refused) : classifyErrorCode(refused, body);
}

interface ErrorBody {
  readonly errorCode: string;
  readonly message: string;
}

function readErrorBody(text: string): ErrorBody | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || !('error_code' in parsed)) return undefined;
  const message = 'message' in parsed && typeof parsed.message === 'string' ? parsed.message : '';
  return { errorCode: String(parsed.error_code), message };
}

function classifyErrorCode(refused: RefusedResponse, body: ErrorBody): MlflowError {
  const { call, server, status, retryAfterMs } = refused;
  const conflict = body.errorCode === 'BAD_REQUEST' && UNIQUE_VIOLATION.test(body.message);
  const permanent = PERMANENT.has(body.errorCode) && !conflict;
  const retryable = !permanent && (conflict || isTransientStatus(status) || status === 409 || status === 499);
  const said = shorten(body.message);
  return new MlflowError({
    code: conflict ? OWN.WRITE_CONFLICT : body.errorCode,
    serverCode: body.errorCode,
    message: `MLflow refused ${call} on ${server}: ${body.errorCode} (HTTP ${status})${said === '' ? '' : `: ${said}`}`,
    status,
    retryable,
    doubt: !refused.idempotent && retryable && mayHaveRun(status),
    retryAfterMs,
  });
}

function classifyText(refused: RefusedResponse): MlflowError {
  const { call, server, status, text } = refused;
  const fixed = (code: string, message: string): MlflowError => new MlflowError({ code, message, status });
  if (status >= 300 && status < 400) {
    return fixed(
      OWN.REDIRECTED,
      `${server} redirected ${call} to ${refused.location ?? 'an unnamed address'} (HTTP ${status}). ` +
        'Set the tracking URI to the address that answers directly, and check that no login page stands before it.',
    );
  }
  if (status === 403 && /invalid host header/i.test(text)) return hostRefused(refused);
  if (status === 403 && /cross-origin/i.test(text)) {
    return fixed(
      OWN.ORIGIN_REFUSED,
      `MLflow at ${server} refused the origin of ${call} (HTTP 403). Start it with --cors-allowed-origins for that origin.`,
    );
  }
  if (status === 403) {
    return fixed(
      'PERMISSION_DENIED',
      `MLflow at ${server} does not allow ${call} with these credentials (HTTP 403): ${shorten(text)}. Ask its administrator for the permission.`,
    );
  }
  if (/artifacts-only/.test(text)) {
    return fixed(
      OWN.ARTIFACTS_ONLY,
      `MLflow at ${server} serves artifacts only, so ${call} is off (HTTP ${status}). Point the tracking URI at the tracking server.`,
    );
  }
  if (/serve-artifacts/.test(text)) {
    return fixed(
      OWN.ARTIFACT_PROXY_OFF,
      `MLflow at ${server} runs without its artifact proxy, so ${call} is off (HTTP ${status}). Start it with --serve-artifacts, or write to the artifact store directly.`,
    );
  }
  if (status === 404 || status === 405) {
    return fixed(
      'ENDPOINT_NOT_FOUND',
      `${server} does not know ${call} (HTTP ${status}). Check that the tracking URI names an MLflow server of 3.8 or later, with its path prefix.`,
    );
  }
  return httpError(refused);
}

function hostRefused({ call, server, status }: RefusedResponse): MlflowError {
  const { host, hostname } = new URL(server);
  const hosts = new Set([hostname, `${hostname}:*`, 'localhost:*', '127.0.0.1:*']);
  return new MlflowError({
    code: OWN.HOST_REFUSED,
    message:
      `MLflow at ${server} refused ${call} because its host check does not list "${host}" (HTTP ${status}). ` +
      `Start it with --allowed-hosts "${[...hosts].join(',')}" (the list replaces the defaults).`,
    status,
  });
}

function authenticationError({ call, server, status }: RefusedResponse, serverCode?: string): MlflowError {
  return new MlflowError({
    code: OWN.AUTH,
    serverCode,
    message:
      `MLflow at ${server} did not accept the credentials for ${call} (HTTP 401). ` +
      'Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.',
    status,
  });
}

function httpError({ call, server, status, text, idempotent, retryAfterMs }: RefusedResponse): MlflowError {
  const said = /<html|<!doctype/i.test(text)
    ? 'an HTML page, so probably from a proxy'
    : shorten(text) || 'an empty body';
  return new MlflowError({
    code: OWN.HTTP_ERROR,
    message: `${call} on ${server} got HTTP ${status} with ${said}.`,
    status,
    retryable: isTransientStatus(status),
    doubt: !idempotent && isTransientStatus(status) && mayHaveRun(status),
    retryAfterMs,
  });
}

function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501);
}

/** Only 429 is certain to be said before any work; whatever else is worth repeating may have left something. */
function mayHaveRun(status: number): boolean {
  return status !== 429;
}

/** One line, bounded: MLflow puts stack traces and whole SQL statements into messages. */
function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 400 ? `${line.slice(0, 400)}...` : line;
}
