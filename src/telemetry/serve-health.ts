import { createServer } from 'node:http';
import { once } from 'node:events';
import { AnnealError } from '../core/failures.js';

/** What a worker says of itself to whoever restarts it, such as a kubelet. */
export interface Health {
  /** From now on it takes work. */
  ready(): void;
  close(): Promise<void>;
}

/** Where a worker offers its health, such as `0.0.0.0:9465`. */
export interface HealthAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/**
 * Answers `GET /livez` with 200 while this program's event loop turns, and `GET /readyz` with 200 once it takes work, with 503 before. Anything else is 404.
 * @returns also the port. @throws AnnealError InvalidConfig where nothing can listen at the address.
 */
export async function serveHealth({
  host,
  port,
}: HealthAddress): Promise<Health & { readonly port: number }> {
  let isReady = false;
  const server = createServer(({ url }, response) => {
    const status = url === '/livez' || (url === '/readyz' && isReady) ? 200 : url === '/readyz' ? 503 : 404;
    response.writeHead(status, { 'content-type': 'text/plain' });
    response.end(ANSWERS[status]);
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new AnnealError(
      'InvalidConfig',
      `Health cannot be offered at ${host}:${port}: ${error instanceof Error ? error.message : String(error)}. Set ANNEAL_HEALTH_ADDRESS to an IP of this machine and a port that is free.`,
      { cause: error },
    );
  }
  // A program that has ended its work is not kept alive by it.
  server.unref();
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    ready: () => {
      isReady = true;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const ANSWERS: { readonly [status: number]: string } = {
  200: 'ok\n',
  404: 'There are /livez and /readyz.\n',
  503: 'It does not take work yet.\n',
};
