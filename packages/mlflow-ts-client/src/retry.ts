import { mayHaveBeenExecuted, MlflowError } from './errors.js';

/** How transient failures are repeated. */
export interface RetryOptions {
  /** Tries in all, the first one included; 1 switches retries off. Default 4. */
  readonly attempts?: number | undefined;
  /** Back-off before the second try; doubles each time. Default 250. */
  readonly initialDelayMs?: number | undefined;
  /** Upper bound of one back-off. Default 10 000. */
  readonly maxDelayMs?: number | undefined;
  /** Longest `Retry-After` that is honoured by waiting; a longer one is thrown at once. Default 60 000. */
  readonly maxRetryAfterMs?: number | undefined;
}

/** {@link RetryOptions} with every default filled in. */
export type RetryPolicy = { readonly [K in keyof RetryOptions]-?: number };

/** Fills in the defaults. */
export function resolveRetryPolicy(options: RetryOptions = {}): RetryPolicy {
  return {
    attempts: options.attempts ?? 4,
    initialDelayMs: options.initialDelayMs ?? 250,
    maxDelayMs: options.maxDelayMs ?? 10_000,
    maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
  };
}

/** Waits, or rejects with the signal's reason as soon as it aborts. */
export type Sleep = (ms: number, signal: AbortSignal | undefined) => Promise<void>;

/** What the retry loop needs from outside. */
export interface RetryDeps {
  readonly policy: RetryPolicy;
  readonly sleep: Sleep;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Repeats `attempt` while its error is retryable and carries no doubt. A create is in doubt as soon as
 * it may have been executed, so it is only repeated when nothing was sent or the server turned it away.
 * `attempt` hears whether an earlier try may have been executed.
 */
export async function withRetries<T>(
  deps: RetryDeps,
  signal: AbortSignal | undefined,
  attempt: (maybeDone: boolean) => Promise<T>,
): Promise<T> {
  let maybeDone = false;
  for (let tries = 1; ; tries += 1) {
    signal?.throwIfAborted();
    try {
      return await attempt(maybeDone);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof MlflowError) || !error.retryable || error.doubt) throw error;
      const delayMs = nextDelayMs(deps, error, tries);
      if (tries >= deps.policy.attempts || delayMs === undefined) throw error;
      maybeDone ||= mayHaveBeenExecuted(error);
      await deps.sleep(delayMs, signal);
    }
  }
}

/** Half of the exponential back-off plus up to as much again ("equal jitter"), never under Retry-After. */
function nextDelayMs({ policy, random }: RetryDeps, error: MlflowError, tries: number): number | undefined {
  const asked = error.retryAfterMs ?? 0;
  if (asked > policy.maxRetryAfterMs) return undefined;
  const backoff = Math.min(policy.maxDelayMs, policy.initialDelayMs * 2 ** (tries - 1));
  return Math.max(asked, backoff / 2 + random() * (backoff / 2));
}

/** A {@link Sleep} on real time. */
export function sleepFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(abortReason(signal));
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', stop, { once: true });
    function done(): void {
      signal?.removeEventListener('abort', stop);
      resolve();
    }
    function stop(): void {
      clearTimeout(timer);
      if (signal !== undefined) reject(abortReason(signal));
    }
  });
}

/** What a cancelled call rejects with: the caller's own reason, so that cancellation stays cancellation. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(`cancelled: ${String(signal.reason)}`);
}

/** Reads `Retry-After`, seconds or an HTTP date, as milliseconds from now. */
export function readRetryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds >= 0 ? seconds * 1000 : undefined;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
