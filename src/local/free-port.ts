import { connect, createServer } from 'node:net';

/** The first of the preferred ports that is free, in their order, else one that the system chooses; never one of `taken`. */
export async function findFreePort(
  preferred: readonly number[],
  taken: readonly number[] = [],
): Promise<number> {
  for (const port of preferred) {
    if (!taken.includes(port) && (await isPortFree(port))) return port;
  }
  for (;;) {
    const port = await listenOnce(0);
    if (port !== undefined && !taken.includes(port)) return port;
  }
}

/**
 * Whether nothing answers on a port of this machine and we may listen on it. Connecting comes first: on macOS a second program
 * may bind 127.0.0.1 beside one that holds all addresses (AirPlay on 5000), and browsers would reach the wrong one.
 */
export async function isPortFree(port: number): Promise<boolean> {
  const answers = await Promise.all([isAnswered('127.0.0.1', port), isAnswered('::1', port)]);
  return !answers.includes(true) && (await listenOnce(port)) !== undefined;
}

/** Whether something accepts connections on this address within a second. */
export async function isAnswered(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

async function listenOnce(port: number): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host: '127.0.0.1', port }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}
