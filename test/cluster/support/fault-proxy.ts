import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';

import type { ClusterNamespace } from './namespace.js';

/** What is asked of the API server. */
export interface ProxiedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly isWatch: boolean;
}

/**
 * What becomes of a request: an answer that the server never gave; none, with or without the server having got it; silence; or the answer, cut
 * off after a while, or ended in the middle of its first piece as if that were all. `undefined`: it passes.
 */
export type Fault =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: OutgoingHttpHeaders;
      readonly body: object;
    }
  | { readonly kind: 'lose-request' }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'truncate' }
  | { readonly kind: 'cut'; readonly afterMs: number };

/** Stands between workers and the API server, so that connections can be made to fail. */
export interface FaultProxy {
  /** Of the namespace's worker, by way of the proxy. */
  readonly kubeconfig: string;
  /** Asked for each request, until it is set again; `undefined` lets all pass. */
  fault: ((request: ProxiedRequest) => Fault | undefined | Promise<Fault | undefined>) | undefined;
  /** Cuts every connection that is open. */
  cutAll(): void;
  close(): Promise<void>;
}

/** Starts a proxy on a port of its own. It speaks plain HTTP with the workers, and passes their token on. */
export async function startFaultProxy({
  cluster,
  name,
  token,
  kubeconfig,
}: ClusterNamespace): Promise<FaultProxy> {
  const agent = new Agent({ keepAlive: true, ca: cluster.authority });
  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.destroy());
  });
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', cluster.apiServer);
    const isWatch = url.searchParams.get('watch') === 'true' || url.searchParams.get('watch') === '1';
    // All of it first: who asked may be dead when it is passed on.
    const body = await readBody(request);
    const fault = await proxy.fault?.({ method: request.method ?? 'GET', path: url.pathname, isWatch });
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'lose-request') return void request.destroy();
    if (fault?.kind === 'answer') {
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
      return void response.end(JSON.stringify(fault.body));
    }
    forward({ request, body, response, url, agent }, fault);
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const own = kubeconfig.replace(/\.json$/, `-${port}.json`);
  await writeFile(own, JSON.stringify(kubeconfigFor({ port, namespace: name, token })));
  const proxy: FaultProxy = {
    kubeconfig: own,
    fault: undefined,
    cutAll: () => server.closeAllConnections(),
    close: async () => {
      server.closeAllConnections();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

interface Forwarded {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly agent: Agent;
}

function forward({ request, body, response, url, agent }: Forwarded, fault: Fault | undefined): void {
  const { host: _host, connection: _connection, ...headers } = request.headers;
  const upstream = httpsRequest(url, { method: request.method ?? 'GET', headers, agent }, (answer) => {
    if (fault?.kind === 'lose-answer') {
      answer.resume().once('end', () => request.destroy());
      return;
    }
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    // A watch is told at once that it has begun.
    response.flushHeaders();
    if (fault?.kind === 'truncate')
      answer.once('data', (piece: Buffer) => response.end(piece.subarray(0, piece.length / 2)));
    else answer.pipe(response);
    answer.once('error', () => response.destroy());
    if (fault?.kind === 'cut') setTimeout(() => response.destroy(), fault.afterMs).unref();
  });
  upstream.once('error', () => response.destroy());
  if (fault?.kind !== 'lose-answer') response.once('close', () => upstream.destroy());
  upstream.end(body);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function kubeconfigFor({
  port,
  namespace,
  token,
}: {
  port: number;
  namespace: string;
  token: string;
}): object {
  const cluster = { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'proxy',
    contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'worker', namespace } }],
    clusters: [{ name: 'proxy', cluster }],
    users: [{ name: 'worker', user: { token } }],
  };
}
