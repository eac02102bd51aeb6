/** Thrown by {@link withDeadline} when the time is over. */
export const DEADLINE_PASSED = Symbol('deadline passed');

/**
 * Runs one try with a limit on silence: `touch` starts the time anew, so that a long transfer that moves is
 * not cut off. Rejects with {@link DEADLINE_PASSED}, or with the caller's reason when `outer` aborts.
 */
export async function withDeadline<T>(
  timeoutMs: number,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal, touch: () => void) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  let passed = false;
  const expire = (): void => {
    passed = true;
    controller.abort();
  };
  let timer = setTimeout(expire, timeoutMs);
  const touch = (): void => {
    clearTimeout(timer);
    if (!controller.signal.aborted) timer = setTimeout(expire, timeoutMs);
  };
  const cancel = (): void => controller.abort(outer?.reason);
  outer?.addEventListener('abort', cancel, { once: true });
  try {
    return await work(controller.signal, touch);
  } catch (error) {
    outer?.throwIfAborted();
    throw passed ? DEADLINE_PASSED : error;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', cancel);
  }
}
