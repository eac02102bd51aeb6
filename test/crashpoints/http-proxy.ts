import { once } from 'node:events';
import { Agent, createServer, request as forward } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { Moment } from './crash-point.js';

/** A request as far as it is looked at. */
export interface AskedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** What a proxy asks about each request. */
export interface ProxyRules {
  readonly target: string;
  /** Whether the server checks the name by which it is called; where requests are signed, they keep the one that they have. */
  readonly ownHost: boolean;
  /** Name of the effect; nothing for what changes nothing. */
  readonly describe: (request: AskedRequest) => string | undefined;
  readonly hit: (effect: string, body: Buffer) => Moment | undefined;
  /** Kills whoever sent the request. */
  readonly kill: (headers: IncomingHttpHeaders) => void;
}

/** A proxy that kills its client at one request. */
export interface CrashProxy {
  readonly port: number;
  stop(): Promise<void>;
}

/** Time for an answer to arrive where it is read. */
const ARRIVAL_MS = 5;

/** A proxy in front of an HTTP server. */
export async function startHttpProxy(rules: ProxyRules): Promise<CrashProxy> {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, answer) => {
    incoming.on('error', () => undefined);
    answer.on('error', () => undefined);
    handle({ rules, agent, incoming, answer }).catch(() => incoming.socket.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      agent.destroy();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

interface Exchange {
  readonly rules: ProxyRules;
  readonly agent: Agent;
  readonly incoming: IncomingMessage;
  readonly answer: ServerResponse;
}

async function handle(exchange: Exchange): Promise<void> {
  const { rules, incoming, answer } = exchange;
  const { method = '', url = '', headers } = incoming;
  const body = await collect(incoming);
  const effect = rules.describe({ method, url, headers });
  const moment = effect === undefined ? undefined : rules.hit(effect, body);
  const die = () => {
    rules.kill(headers);
    incoming.socket.destroy();
  };
  if (moment === 'before') return void die();
  const reply = await pass(exchange, body);
  const content = await collect(reply);
  if (moment === 'unanswered') return void die();
  if (moment === 'answered') answer.once('finish', () => setTimeout(die, ARRIVAL_MS));
  answer.writeHead(reply.statusCode ?? 500, reply.headers);
  answer.end(content);
}

async function pass({ rules, agent, incoming }: Exchange, body: Buffer): Promise<IncomingMessage> {
  const url = new URL(incoming.url ?? '/', rules.target);
  const { method, headers } = incoming;
  return await new Promise((resolve, reject) => {
    const own = rules.ownHost ? { ...headers, host: url.host } : headers;
    const sent = forward(url, { method, agent, headers: own }, resolve);
    sent.on('error', reject);
    sent.end(body);
  });
}

async function collect(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}
