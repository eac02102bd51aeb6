import { setTimeout as delay } from 'node:timers/promises';

import { AnnealError } from '../core/failures.js';
import type { LocalServices } from '../local/local-servers.js';
import type { LocalStack } from './context.js';

/** Local servers that are started again when they die. */
export interface ServerKeeper {
  /** Rejects when a server does not come up again, or when another command has stopped them. */
  readonly failed: Promise<never>;
  /** Resolves when no server is started any more, so that they can be stopped. */
  stop(): Promise<void>;
}

const POLL_MS = 1_000;
const STOPPED_LOOKS = 3;

/**
 * Starts the local servers again, on their data and ports, whenever one ends without being told to: runs, workers and clients go on. Where
 * another program took a port meanwhile, the server takes another one, and whoever uses it is told.
 */
export function keepServersAlive(options: {
  readonly stack: Pick<LocalStack, 'deadServers' | 'running' | 'startServers'>;
  /** Where the servers were at first. */
  readonly first: LocalServices;
  readonly say: (text: string) => void;
  /** A server has another address now: workers and clients must be given it. */
  readonly onMoved: (services: LocalServices) => Promise<void>;
}): ServerKeeper {
  const { stack, say, onMoved } = options;
  let known = addressesOf(options.first);
  const stopped = new AbortController();
  const { signal } = stopped;
  const isLocal = !options.first.temporal.external || !options.first.mlflow.external;
  const keep = async (): Promise<void> => {
    for (let stoppedLooks = 0; !signal.aborted;) {
      const dead = await stack.deadServers();
      if (dead.length > 0) {
        const services = await stack.startServers({ onProgress: (line) => say(`  ${line}`), signal });
        const now = addressesOf(services);
        const moved = now.filter((address, index) => address !== known[index]);
        known = now;
        if (moved.length > 0) {
          say(`Another port is another address: the worker is started again with ${moved.join(' and ')}.`);
          await onMoved(services);
        }
      }
      // More than one look: while another command starts them again, there are none for a moment.
      stoppedLooks = isLocal && !(await stack.running()).servers ? stoppedLooks + 1 : 0;
      if (stoppedLooks >= STOPPED_LOOKS)
        throw new AnnealError(
          'ServerUnreachable',
          'Another command stopped the local servers: "anneal down", or the end of the start that this one shared them with. Open runs go on after the next: anneal up',
        );
      await delay(POLL_MS, undefined, { ref: false, signal });
    }
  };
  const kept = keep().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  const failed = kept.then(() => new Promise<never>(() => undefined));
  // Whoever does not race with it any more must not hear of it.
  failed.catch(() => undefined);
  return {
    failed,
    stop: async () => {
      stopped.abort();
      await kept.catch(() => undefined);
    },
  };
}

function addressesOf({ temporal, mlflow }: LocalServices): readonly string[] {
  return [temporal.address, mlflow.trackingUri];
}
