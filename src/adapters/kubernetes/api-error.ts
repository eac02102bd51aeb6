/** One field that the API server refused. */
export interface RefusedField {
  readonly field?: string;
  readonly reason?: string;
  readonly message: string;
}

/** What a {@link KubernetesApiError} carries. */
export interface KubernetesApiFailure {
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  /** Kubernetes' reason such as `AlreadyExists`, or the code of a network error such as `ECONNREFUSED`. */
  readonly reason: string;
  /** The server's sentence, without credentials. */
  readonly message: string;
  readonly retryAfterMs?: number;
  readonly causes?: readonly RefusedField[];
  /** The same request may succeed soon; it has been repeated already. */
  readonly transient: boolean;
}

/** Whatever the Kubernetes API answered instead of what was asked, or that it did not answer. Holds no header and no token. */
export class KubernetesApiError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  readonly causes: readonly RefusedField[];
  readonly transient: boolean;

  constructor(failure: KubernetesApiFailure) {
    super(failure.message);
    this.name = 'KubernetesApiError';
    this.status = failure.status;
    this.reason = failure.reason;
    this.retryAfterMs = failure.retryAfterMs;
    this.causes = failure.causes ?? [];
    this.transient = failure.transient;
  }
}

/** What is asked about an answer that is no success. */
interface FailedAnswer {
  readonly status: number;
  readonly body: string;
  /** Header `retry-after`. */
  readonly retryAfter?: string;
  /** What was asked for, such as `GET /api/v1/namespaces/x/pods`. */
  readonly asked: string;
}

/** The error for an answer of status 400 and above. */
export function errorOfAnswer({ status, body, retryAfter, asked }: FailedAnswer): KubernetesApiError {
  const said = readStatus(body);
  const reason = said.reason ?? REASONS[status] ?? `HTTP ${status}`;
  const message = clean(said.message ?? (body.trim() || `${asked} was answered with ${status}`));
  const waitMs = readRetryAfter(retryAfter) ?? readSeconds(said.details?.retryAfterSeconds);
  const causes = (said.details?.causes ?? []).map((cause) => ({
    ...(cause.field === undefined ? {} : { field: cause.field }),
    ...(cause.reason === undefined ? {} : { reason: cause.reason }),
    message: clean(cause.message ?? ''),
  }));
  return new KubernetesApiError({
    status,
    reason,
    message,
    causes,
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    transient: isTransient(status, message),
  });
}

/** The error for a connection that failed or broke. */
export function errorOfConnection(error: unknown, asked: string): KubernetesApiError {
  if (error instanceof KubernetesApiError) return error;
  const { code, said } = innermost(error);
  return new KubernetesApiError({
    status: 0,
    reason: code ?? 'ConnectionFailed',
    message: clean(`${asked}: ${said}`),
    transient: code === undefined || !HOPELESS.test(code),
  });
}

/** Whether the namespace's quota is used up: the same request may succeed when other pods have ended. */
export function isQuotaRefusal({ status, message }: KubernetesApiError): boolean {
  return status === 403 && message.includes('exceeded quota');
}

/** Names of statuses whose answer says nothing, as that of 401. */
const REASONS: { readonly [status: number]: string } = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** What a later try does not change: names that do not resolve may, certificates do not. */
const HOPELESS = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|ERR_INVALID|ERR_SSL|ENOENT|EACCES/;

/** What lies in quota bookkeeping and etcd, and passes. */
const PASSING =
  /Operation cannot be fulfilled on resourcequota|resource quota evaluation timed out|etcdserver: (leader changed|request timed out|too many requests)|http2: client connection lost|the object has been modified/i;

function isTransient(status: number, message: string): boolean {
  if (status === 429 || status === 408 || status >= 500) return status !== 501;
  return status === 409 && PASSING.test(message);
}

interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly {
      readonly field?: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

function readStatus(body: string): Status {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

/** `Retry-After` in milliseconds; a date is not what API servers send. */
function readRetryAfter(header: string | undefined): number | undefined {
  return header === undefined ? undefined : readSeconds(Number(header));
}

function readSeconds(seconds: number | undefined): number | undefined {
  return seconds === undefined || !Number.isFinite(seconds) || seconds < 0 ? undefined : seconds * 1000;
}

const LONGEST = 2_000;

/** No credentials, and no body of a proxy's error page in full. */
function clean(text: string): string {
  const shown = text
    .replace(/(\w:\/\/)[^\s/@]+@/g, '$1')
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, '$1 ***')
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '***');
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST)} ...` : shown;
}

/** The code and the text nearest to the cause. */
function innermost(error: unknown): { readonly code?: string; readonly said: string } {
  let code: string | undefined;
  let said = 'no answer';
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const own = (at as { readonly code?: unknown }).code;
    if (typeof own === 'string') code = own;
    const [first] = at instanceof AggregateError ? (at.errors as unknown[]) : [];
    if (at.message !== '') said = at.message;
    else if (first instanceof Error) said = first.message;
  }
  return { said, ...(code === undefined ? {} : { code }) };
}
