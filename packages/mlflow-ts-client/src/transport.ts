import { classifyFailure, timeoutError } from './classify-failure.js';
import { classifyResponse } from './classify-response.js';
import { DEADLINE_PASSED, withDeadline } from './deadline.js';
import { MlflowError } from './errors.js';
import { readRetryAfterMs, withRetries, type RetryDeps } from './retry.js';

/** What every call of the client takes last. */
export interface CallOptions {
  /** Ends the call, its retries and its back-off; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Basic (`username`, `password`) or bearer (`token`) credentials. */
export type MlflowAuth =
  { readonly username: string; readonly password: string } | { readonly token: string };

/** A body that can be sent again from its beginning. `touch` is called for each piece that moves. */
export interface RequestBody {
  readonly contentType: string;
  /** Needed for a stream, so that it is not sent in chunks. */
  readonly sizeBytes?: number | undefined;
  readonly open: (touch: () => void) => string | Uint8Array | AsyncIterable<Uint8Array>;
}

/** One logical request; the transport may send it several times. */
export interface HttpRequest<T> {
  /** For messages: `POST runs/create`. */
  readonly call: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly body?: RequestBody | undefined;
  /** False: never sent again once it may have been executed. Default true. */
  readonly idempotent?: boolean | undefined;
  /** Reads the answer, within the try: an answer that breaks off is a failed try. */
  readonly read: (response: Response, touch: () => void) => Promise<T>;
  /** What an error means when an earlier try may have been executed, e.g. "gone already" of a DELETE. */
  readonly settle?: ((error: MlflowError) => { readonly value: T } | undefined) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sends requests, with credentials, time limit, retries and one kind of error. */
export interface Transport {
  /** The server without credentials, query and closing slash. */
  readonly server: string;
  readonly send: <T>(request: HttpRequest<T>) => Promise<T>;
}

/** What the transport is made of. */
export interface TransportDeps extends RetryDeps {
  readonly server: string;
  readonly auth: MlflowAuth | undefined;
  /** Hosts that may see the credentials. */
  readonly trustedHosts: ReadonlySet<string>;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly fetch: typeof globalThis.fetch;
  readonly nowMs: () => number;
}

/** Makes a {@link Transport}. */
export function createTransport(deps: TransportDeps): Transport {
  const send = <T>(request: HttpRequest<T>): Promise<T> =>
    withRetries(deps, request.signal, async (maybeDone) => {
      try {
        return await tryOnce(deps, request);
      } catch (error) {
        const settled = maybeDone && error instanceof MlflowError ? request.settle?.(error) : undefined;
        if (settled === undefined) throw error;
        return settled.value;
      }
    });
  return { server: deps.server, send };
}

async function tryOnce<T>(deps: TransportDeps, request: HttpRequest<T>): Promise<T> {
  const about = { call: request.call, server: request.url.origin, idempotent: request.idempotent ?? true };
  try {
    return await withDeadline(deps.timeoutMs, request.signal, async (signal, touch) => {
      const response = await deps.fetch(request.url, { ...buildInit(deps, request, touch), signal });
      touch();
      if (response.ok) return request.read(response, touch);
      throw classifyResponse({
        ...about,
        status: response.status,
        text: await response.text(),
        location: response.headers.get('location') ?? undefined,
        retryAfterMs: readRetryAfterMs(response.headers.get('retry-after'), deps.nowMs()),
      });
    });
  } catch (error) {
    if (error === DEADLINE_PASSED) throw timeoutError(about, deps.timeoutMs);
    request.signal?.throwIfAborted();
    throw error instanceof MlflowError ? error : classifyFailure({ ...about, cause: error });
  }
}

function buildInit<T>(
  deps: TransportDeps,
  { method, url, body }: HttpRequest<T>,
  touch: () => void,
): RequestInit {
  const headers: Record<string, string> = { ...deps.headers };
  // A server chooses its artifact host, so it could ask us to send the credentials anywhere.
  if (deps.auth !== undefined && deps.trustedHosts.has(url.host))
    headers['authorization'] = buildAuthorization(deps.auth);
  const common: RequestInit = { method, headers, redirect: 'manual' };
  if (body === undefined) return common;
  headers['content-type'] = body.contentType;
  if (body.sizeBytes !== undefined) headers['content-length'] = String(body.sizeBytes);
  return { ...common, body: body.open(touch), duplex: 'half' };
}

function buildAuthorization(auth: MlflowAuth): string {
  if ('token' in auth) return `Bearer ${auth.token}`;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
}
