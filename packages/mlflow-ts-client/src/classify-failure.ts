import { CLIENT_ERROR_CODES as OWN, MlflowError } from './errors.js';

/** A request that got no answer. */
export interface FailedRequest {
  readonly call: string;
  readonly server: string;
  readonly idempotent: boolean;
  readonly cause: unknown;
}

/** System errors that are raised before the first byte of a request leaves. */
const NEVER_SENT = new Set([
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Says what a failed connection means; `doubt` unless it is certain that nothing was sent. */
export function classifyFailure(failed: FailedRequest): MlflowError {
  const { call, server, idempotent, cause } = failed;
  // Our own error from within a body that was being sent or read comes back wrapped by fetch.
  const own = findCause(cause, (error) => error instanceof MlflowError);
  if (own instanceof MlflowError) return own;
  const { code, text } = rootCause(cause);
  if (isTlsCode(code)) {
    return new MlflowError({
      code: OWN.UNREACHABLE,
      message: `The certificate of ${server} was not accepted for ${call} (${code}). Name its authority's file in NODE_EXTRA_CA_CERTS.`,
      cause,
    });
  }
  if (text === 'bad port') {
    return new MlflowError({
      code: OWN.INVALID_CONFIGURATION,
      message: `The port of ${server} is one that fetch never uses. Run MLflow on another port.`,
      cause,
    });
  }
  if (NEVER_SENT.has(code)) {
    return new MlflowError({
      code: OWN.UNREACHABLE,
      message: `MLflow at ${server} cannot be reached for ${call} (${code}). Check that the server runs and that the tracking URI is right.`,
      retryable: true,
      cause,
    });
  }
  return new MlflowError({
    code: OWN.CONNECTION_LOST,
    message: `The connection to MLflow at ${server} broke during ${call} (${code === '' ? text : code}).${doubtHint(idempotent)}`,
    retryable: true,
    doubt: !idempotent,
    cause,
  });
}

/** The error for a try that was silent for too long. */
export function timeoutError(failed: Omit<FailedRequest, 'cause'>, timeoutMs: number): MlflowError {
  return new MlflowError({
    code: OWN.TIMEOUT,
    message: `MLflow at ${failed.server} did not answer ${failed.call} within ${timeoutMs} ms.${doubtHint(failed.idempotent)} Raise timeoutMs if the server is only slow.`,
    retryable: true,
    doubt: !failed.idempotent,
  });
}

function doubtHint(idempotent: boolean): string {
  return idempotent ? '' : ' It may have been executed: search for its result before repeating it.';
}

function isTlsCode(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|^ERR_TLS/.test(code);
}

function rootCause(error: unknown): { code: string; text: string } {
  const coded = findCause(error, (candidate) => 'code' in candidate && typeof candidate.code === 'string');
  if (coded !== undefined && 'code' in coded) return { code: String(coded.code), text: coded.message };
  const last = findCause(error, (candidate) => !(candidate.cause instanceof Error));
  return { code: '', text: last === undefined ? String(error) : last.message };
}

/** fetch wraps what happened ("fetch failed") in one or two layers of causes. */
function findCause(error: unknown, wanted: (error: Error) => boolean): Error | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    if (wanted(current)) return current;
    current = current.cause;
  }
  return undefined;
}
