import { setTimeout as delay } from 'node:timers/promises';

import type { LocalStack } from './context.js';

/** Local servers that are started again when they die. */
export interface ServerKeeper {
  /** Rejects when a server does not come up again. */
  readonly failed: Promise<never>;
  /** Resolves when no server is started any more, so that they can be stopped. */
  stop(): Promise<void>;
}

const POLL_MS = 1_000;

/** Starts the local servers again, on their data and ports, whenever one ends without being told to: runs, workers and clients go on. */
export function keepServersAlive(options: {
  readonly stack: Pick<LocalStack, 'deadServers' | 'startServers'>;
  readonly say: (text: string) => void;
}): ServerKeeper {
  const { stack, say } = options;
  const stopped = new AbortController();
  const { signal } = stopped;
  const keep = async (): Promise<void> => {
    while (!signal.aborted) {
      const dead = await stack.deadServers();
      if (dead.length > 0) await stack.startServers({ onProgress: (line) => say(`  ${line}`), signal });
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
