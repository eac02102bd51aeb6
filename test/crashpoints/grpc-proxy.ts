import { once } from 'node:events';
import { connect, constants, createServer } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

import type { Moment } from './crash-point.js';
import type { CrashProxy } from './http-proxy.js';

/** What the proxy in front of Temporal asks about each unary call. */
export interface GrpcRules {
  /** `host:port` */
  readonly target: string;
  /** Looks at a call of a method that counts: its effect, and the message to send instead. */
  readonly inspect: (
    method: string,
    message: Uint8Array,
  ) => { readonly effect?: string; readonly message: Uint8Array };
  /** Methods that {@link inspect} wants to see. */
  readonly inspected: ReadonlySet<string>;
  readonly hit: (effect: string, message: Uint8Array) => Moment | undefined;
  readonly kill: () => void;
}

/** Time for an answer to arrive where it is read. */
const ARRIVAL_MS = 5;

/** A proxy in front of a gRPC server without TLS. A client that dies takes its calls with it. */
export async function startGrpcProxy(rules: GrpcRules): Promise<CrashProxy> {
  const sessions = new Set<{ destroy(): void }>();
  const server = createServer();
  server.on('session', (session) => {
    const upstream = connect(`http://${rules.target}`);
    for (const one of [session, upstream]) {
      sessions.add(one);
      one.on('error', () => undefined);
    }
    session.once('close', () => upstream.destroy());
    upstream.once('close', () => session.destroy());
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => undefined);
      handle({ rules, upstream, stream }, headers).catch(() =>
        stream.close(constants.NGHTTP2_INTERNAL_ERROR),
      );
    });
    session.once('close', () => [session, upstream].forEach((one) => sessions.delete(one)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const one of sessions) one.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Call {
  readonly rules: GrpcRules;
  readonly upstream: ClientHttp2Session;
  readonly stream: ServerHttp2Stream;
}

async function handle(call: Call, headers: IncomingHttpHeaders): Promise<void> {
  const { rules, stream } = call;
  const method = headers[':path']?.split('/').at(-1) ?? '';
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!rules.inspected.has(method)) return pass(call, headers, body, undefined);
  const { effect, message } = rules.inspect(method, unframe(body));
  const moment = effect === undefined ? undefined : rules.hit(effect, message);
  if (moment === 'before') return rules.kill();
  pass(call, headers, frame(message), moment);
}

function pass(call: Call, headers: IncomingHttpHeaders, body: Uint8Array, moment: Moment | undefined): void {
  const { upstream, stream, rules } = call;
  if (stream.destroyed) return;
  const { 'content-length': _length, ...rest } = headers;
  const sent = upstream.request(rest);
  sent.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
  stream.once('close', () => sent.close(constants.NGHTTP2_CANCEL));
  const pieces: Uint8Array[] = [];
  let first: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  sent.on('response', (found) => (first = found));
  sent.on('trailers', (found) => (trailers = found));
  sent.on('data', (piece: Uint8Array) => void pieces.push(piece));
  sent.on('end', () => {
    if (moment === 'unanswered') return rules.kill();
    if (moment === 'answered') stream.once('close', () => setTimeout(rules.kill, ARRIVAL_MS));
    if (stream.destroyed) return;
    const content = Buffer.concat(pieces);
    if (content.byteLength === 0 && Object.keys(trailers).length === 0)
      return stream.respond(first, { endStream: true });
    stream.once('wantTrailers', () => stream.sendTrailers(plain(trailers)));
    stream.respond(first, { waitForTrailers: true });
    stream.end(content);
  });
  sent.end(body);
}

function plain(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':')));
}

const FRAME_BYTES = 5;

/** The message of a unary call. */
function unframe(body: Buffer): Uint8Array {
  const message = body.subarray(FRAME_BYTES);
  return body.readUInt8(0) === 0 ? message : gunzipSync(message);
}

function frame(message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(FRAME_BYTES);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}
