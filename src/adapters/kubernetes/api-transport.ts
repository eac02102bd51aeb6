import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { Agent, ProxyAgent, request as send, type Dispatcher } from 'undici';
import { errorOfAnswer, errorOfConnection, KubernetesApiError } from './api-error.js';
import type { KubeConnection, KubeTls } from './kube-config.js';

/** One request. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below the server, such as `/api/v1/nodes/a`. */
  readonly path: string;
  readonly query?: { readonly [name: string]: string | number | boolean | undefined };
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
  /** Default: {@link RetryPolicy.tries}. */
  readonly tries?: number;
  readonly signal?: AbortSignal;
}

/** How transient failures are repeated. */
export interface RetryPolicy {
  readonly tries: number;
  /** Longest time that repeating takes in all; a longer `Retry-After` ends it. */
  readonly budgetMs: number;
  readonly firstMs: number;
}

/** What {@link createApiTransport} takes. */
export interface ApiTransportDeps {
  readonly connection: Pick<KubeConnection, 'server' | 'proxyUrl' | 'credentials' | 'renew'>;
  readonly retry?: Partial<RetryPolicy>;
  readonly random?: () => number;
  /** Times without an answer. */
  readonly timeouts?: { readonly connectMs?: number; readonly answerMs?: number };
}

/** Requests to one API server, over connections that are kept. */
export interface ApiTransport {
  /** The body of the answer. @throws KubernetesApiError. */
  request(asked: ApiRequest): Promise<string>;
  /** An answer that goes on; it breaks with an error after `idleMs` without a byte. Not repeated. */
  stream(asked: ApiRequest, options: { readonly idleMs: number }): Promise<AsyncIterable<Buffer>>;
  close(): Promise<void>;
}

const RETRY: RetryPolicy = { tries: 6, budgetMs: 30_000, firstMs: 200 };
const LONGEST_PAUSE_MS = 10_000;
/** Enough for creates that come at once; the API server grants an account a share of a few hundred. */
const CONNECTIONS = 64;

/** Puts a transport together. It holds no connection before the first request. */
export function createApiTransport(deps: ApiTransportDeps): ApiTransport {
  const { connection, random = Math.random } = deps;
  const retry = { ...RETRY, ...deps.retry };
  const answerMs = deps.timeouts?.answerMs ?? 30_000;
  const dispatchers = createDispatchers(deps);
  const once = async (asked: ApiRequest, idleMs: number) => {
    const name = `${asked.method} ${asked.path}`;
    try {
      const { headers, tls } = await connection.credentials().catch(refuseLogin);
      const answer = await send(urlOf(connection.server, asked), {
        dispatcher: dispatchers.of(tls),
        method: asked.method,
        headers: { accept: 'application/json', ...contentHeaders(asked), ...headers },
        headersTimeout: Math.min(answerMs, idleMs),
        bodyTimeout: idleMs,
        signal: asked.signal ?? null,
        ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
      });
      if (answer.statusCode >= 300) throw await readRefusal(answer, name);
      return answer.body;
    } catch (error) {
      asked.signal?.throwIfAborted();
      if (error instanceof KubernetesApiError && error.status === 401) connection.renew();
      throw errorOfConnection(error, name);
    }
  };
  const read = async (asked: ApiRequest) => {
    const body = await once(asked, answerMs);
    return await body.text().catch((error: unknown) => {
      asked.signal?.throwIfAborted();
      throw errorOfConnection(error, `${asked.method} ${asked.path}`);
    });
  };
  return {
    request: async (asked) => await repeat(async () => await read(asked), { retry, asked, random }),
    stream: async (asked, { idleMs }) => await once(asked, idleMs),
    close: async () => await dispatchers.close(),
  };
}

/** A plugin that fails now may have an answer later. */
function refuseLogin(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  throw new KubernetesApiError({ status: 0, reason: 'CredentialsFailed', message, transient: true });
}

interface Repeating {
  readonly retry: RetryPolicy;
  readonly asked: ApiRequest;
  readonly random: () => number;
}

/** Exponential pauses with full jitter, never shorter than the server's `Retry-After`. A refused login is tried once with fresh credentials. */
async function repeat<T>(work: () => Promise<T>, { retry, asked, random }: Repeating): Promise<T> {
  const endsAt = performance.now() + retry.budgetMs;
  const tries = asked.tries ?? retry.tries;
  for (let done = 1; ; done++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof KubernetesApiError) || done >= tries) throw error;
      const renewed = error.status === 401 && done === 1;
      if (!error.transient && !renewed) throw error;
      const pause = renewed ? 0 : pauseOf(error, random() * retry.firstMs * 2 ** (done - 1));
      if (performance.now() + pause > endsAt) throw error;
      await wait(pause, undefined, asked.signal === undefined ? {} : { signal: asked.signal });
    }
  }
}

function pauseOf({ retryAfterMs = 0 }: KubernetesApiError, backOffMs: number): number {
  return Math.max(Math.min(backOffMs, LONGEST_PAUSE_MS), retryAfterMs);
}

function urlOf(server: string, { path, query = {} }: ApiRequest): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return `${server}${path}${given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`}`;
}

function contentHeaders({ body, contentType = 'application/json', accept }: ApiRequest) {
  return {
    ...(body === undefined ? {} : { 'content-type': contentType }),
    ...(accept === undefined ? {} : { accept }),
    'user-agent': 'anneal',
  };
}

async function readRefusal(
  { statusCode: status, headers, body }: Dispatcher.ResponseData,
  asked: string,
): Promise<KubernetesApiError> {
  const text = await body.text().catch(() => '');
  const retryAfter = headers['retry-after'];
  return errorOfAnswer({
    status,
    body: text,
    asked,
    ...(typeof retryAfter === 'string' ? { retryAfter } : {}),
  });
}

/** One dispatcher, replaced when the client certificate or the CA is another: plugins renew them. */
function createDispatchers({ connection, timeouts }: ApiTransportDeps) {
  let current: { readonly key: string; readonly dispatcher: Dispatcher } | undefined;
  return {
    of: (tls: KubeTls): Dispatcher => {
      const key = fingerprint(tls);
      if (current?.key === key) return current.dispatcher;
      // Those that still run, watches among them, end by themselves.
      current?.dispatcher.close().catch(() => undefined);
      current = { key, dispatcher: createDispatcher(connection.proxyUrl, tls, timeouts?.connectMs) };
      return current.dispatcher;
    },
    close: async () => {
      const last = current;
      current = undefined;
      await last?.dispatcher.destroy();
    },
  };
}

function createDispatcher(proxyUrl: string | undefined, tls: KubeTls, connectMs = 10_000): Dispatcher {
  const connect = { ...tls, timeout: connectMs, keepAlive: true, keepAliveInitialDelay: 15_000 };
  // Below the 90 s after which API servers close what is idle.
  const kept = { connections: CONNECTIONS, keepAliveTimeout: 60_000, keepAliveMaxTimeout: 60_000 };
  return proxyUrl === undefined
    ? new Agent({ ...kept, connect })
    : new ProxyAgent({ ...kept, uri: proxyUrl, requestTls: connect });
}

function fingerprint({ ca = '', cert = '', key = '', servername = '', rejectUnauthorized }: KubeTls): string {
  const hash = createHash('sha256');
  for (const part of [ca, cert, key, servername, String(rejectUnauthorized)]) hash.update(part).update('\0');
  return hash.digest('hex');
}
