import { createServer, request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** A proxy before a real server that can lose answers after the server has done the work. */
export interface LossyProxy {
  readonly uri: string;
  /** Loses the answers to the next `count` requests whose address contains `part`. */
  readonly loseAnswers: (part: string, count?: number) => void;
  /** How many answers were lost so far. */
  readonly lost: () => number;
}

export async function startLossyProxy(t: TestContext, target: string): Promise<LossyProxy> {
  let armed = { part: '', count: 0 };
  let lost = 0;
  const server = createServer((incoming, outgoing) => {
    const upstream = forward(
      new URL(incoming.url ?? '/', target),
      { method: incoming.method, headers: incoming.headers },
      (answer) => {
        void readAll(answer).then((body) => {
          if (armed.count > 0 && incoming.url?.includes(armed.part) === true) {
            armed = { ...armed, count: armed.count - 1 };
            lost += 1;
            outgoing.socket?.resetAndDestroy();
            return;
          }
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers).end(body);
        });
      },
    );
    upstream.on('error', () => outgoing.socket?.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return {
    uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseAnswers: (part, count = 1) => {
      armed = { part, count };
    },
    lost: () => lost,
  };
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
