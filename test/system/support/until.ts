import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 100;
const TIMEOUT_MS = 90_000;

/**
 * Waits until a check answers with something other than `undefined` or `false`, and returns that. A check that throws is asked again:
 * a server that is just being restarted refuses.
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let problem: unknown; ;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > deadline)
      throw new Error(`Waited ${timeoutMs / 1_000} s in vain until ${what}.`, { cause: problem });
    await delay(POLL_MS);
  }
}
