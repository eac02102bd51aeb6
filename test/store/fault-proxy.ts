import { once } from 'node:events';
import { createServer, request as forward } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a request looks like to a rule. */
export interface Seen {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** What happens to a request instead of being passed on and answered. */
export type Fault =
  /** The connection ends before the server hears of it. */
  | { readonly kind: 'refuse' }
  /** The server does it; the answer is lost. */
  | { readonly kind: 'lose-answer' }
  /** The answer's body is cut off. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Nothing comes back. */
  | { readonly kind: 'hang' }
  /** An answer that the server never gave; a request that `reaches` it is carried out all the same. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string; readonly reaches?: boolean }
  /** One byte of the request's or the answer's body is another. */
  | { readonly kind: 'flip'; readonly of: 'request' | 'answer' };

/** A proxy between a store and its server that does what tests tell it to. */
export interface FaultProxy {
  readonly endpoint: string;
  /** Everything that was asked, in order. */
  readonly seen: Seen[];
  /** Asked for each request; `undefined` passes it on. */
  decide: (seen: Seen) => Fault | undefined;
  stop(): Promise<void>;
}

/** An error as S3 words it. */
export function s3Error(status: number, code: string): Fault {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>made up</Message></Error>`;
  return { kind: 'answer', status, body };
}

/** The first `count` requests that match get the fault. */
export function times(count: number, matches: (seen: Seen) => boolean, fault: Fault): FaultProxy['decide'] {
  let left = count;
  return (seen) => {
    if (left === 0 || !matches(seen)) return undefined;
    left -= 1;
    return fault;
  };
}

/** Starts a proxy in front of a server. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const seen: Seen[] = [];
  const server = createServer((incoming, answer) => {
    const one = { method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers };
    seen.push(one);
    void handle({ target, incoming, answer }, proxy.decide(one));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    seen,
    decide: () => undefined,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return proxy;
}

interface Exchange {
  readonly target: string;
  readonly incoming: IncomingMessage;
  readonly answer: ServerResponse;
}

async function handle(exchange: Exchange, fault: Fault | undefined): Promise<void> {
  const { incoming, answer } = exchange;
  incoming.on('error', () => undefined);
  if (fault?.kind === 'refuse') return void incoming.socket.destroy();
  const body = await collect(incoming).catch(() => undefined);
  if (body === undefined || fault?.kind === 'hang') return;
  if (fault?.kind === 'answer' && fault.reaches !== true) return void send(answer, fault.status, fault.body);
  const reply = await pass(
    exchange,
    fault?.kind === 'flip' && fault.of === 'request' ? flip(body) : body,
  ).catch(() => undefined);
  if (reply === undefined || fault?.kind === 'lose-answer') return void incoming.socket.destroy();
  if (fault?.kind === 'answer') return void send(answer, fault.status, fault.body);
  const content = await collect(reply);
  answer.writeHead(reply.statusCode ?? 500, reply.headers);
  if (fault?.kind === 'cut') {
    answer.write(content.subarray(0, fault.afterBytes), () => incoming.socket.destroy());
    return;
  }
  answer.end(fault?.kind === 'flip' && fault.of === 'answer' ? flip(content) : content);
}

async function pass({ target, incoming }: Exchange, body: Buffer): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    const { method, headers, url } = incoming;
    const sent = forward(
      new URL(url ?? '/', target),
      { method, headers: { ...headers, connection: 'close' } },
      resolve,
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function send(answer: ServerResponse, status: number, body: string): void {
  answer.writeHead(status, { 'content-type': 'application/xml' });
  answer.end(body);
}

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function flip(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  const middle = Math.floor(other.byteLength / 2);
  other.writeUInt8((other[middle] ?? 0) ^ 1, middle);
  return other;
}
