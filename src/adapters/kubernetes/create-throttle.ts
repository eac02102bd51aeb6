import { setTimeout as wait } from 'node:timers/promises';

/** Lets callers through one after the other, `perSecond` of them in a second after a first burst of as many. @throws the signal's reason. */
export function createThrottle(
  perSecond: number,
  nowMs: () => number,
): (signal: AbortSignal) => Promise<void> {
  const everyMs = 1_000 / perSecond;
  const burst = Math.max(1, Math.floor(perSecond));
  let nextAtMs = -Infinity;
  return async (signal) => {
    signal.throwIfAborted();
    const now = nowMs();
    nextAtMs = Math.max(nextAtMs, now - (burst - 1) * everyMs);
    const atMs = nextAtMs;
    nextAtMs += everyMs;
    if (atMs <= now) return;
    await wait(atMs - now, undefined, { signal }).catch(() => undefined);
    // The turns of a thousand that were cancelled are those of who comes next.
    if (signal.aborted) nextAtMs -= everyMs;
    signal.throwIfAborted();
  };
}
