import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { createMlflowClient, type MlflowClient, type MlflowClientOptions } from '../src/index.js';

/** A request as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Raw: not decoded, not normalised. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly json: unknown;
}

/** What the server does with one request. */
export type Behaviour = (request: SeenRequest, response: ServerResponse) => void;

/** A server that plays its behaviours in turn, the last one for ever, and a client that talks to it. */
export interface Stage {
  readonly client: MlflowClient;
  readonly uri: string;
  readonly seen: SeenRequest[];
  /** Back-offs that the client took instead of sleeping. */
  readonly slept: number[];
}

export async function stage(
  t: TestContext,
  behaviours: readonly Behaviour[],
  options: Partial<MlflowClientOptions> = {},
): Promise<Stage> {
  const seen: SeenRequest[] = [];
  const slept: number[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const { method = '', url = '', headers } = request;
      const json: unknown = headers['content-type'] === 'application/json' ? JSON.parse(body) : undefined;
      seen.push({ method, url, headers, body, json });
      const behave = behaviours[Math.min(seen.length, behaviours.length) - 1];
      behave?.({ method, url, headers, body, json }, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createMlflowClient({
    trackingUri: uri,
    timeoutMs: 5_000,
    random: () => 1,
    sleep: (ms, signal) => {
      slept.push(ms);
      signal?.throwIfAborted();
      return Promise.resolve();
    },
    ...options,
  });
  return { client, uri, seen, slept };
}

/** An address where nobody listens (any more). */
export async function closedAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

export const ok =
  (json: unknown): Behaviour =>
  (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json));

export const refuse =
  (status: number, errorCode: string, message = 'said the server'): Behaviour =>
  (_, response) =>
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(JSON.stringify({ error_code: errorCode, message }));

export const text =
  (status: number, body: string, headers: Record<string, string> = {}): Behaviour =>
  (_, response) =>
    response.writeHead(status, headers).end(body);

/** Takes the request, executes it for all we know, and cuts the line. */
export const reset: Behaviour = (_, response) => {
  response.socket?.resetAndDestroy();
};

/** Never answers. */
export const silent: Behaviour = () => undefined;

/** Announces more than it sends. */
export const truncated: Behaviour = (_, response) => {
  response.writeHead(200, { 'content-length': '1000' });
  response.write('{"experiment":');
  response.socket?.destroySoon();
};

export const wireRun = (over: Record<string, unknown> = {}): unknown => ({
  run: { info: { run_id: 'r1', experiment_id: '0', status: 'RUNNING', start_time: 1, ...over }, data: {} },
});

export const wireExperiment = {
  experiment: { experiment_id: '7', name: 'churn', lifecycle_stage: 'active' },
};
