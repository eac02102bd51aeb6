import { isMlflowError } from 'mlflow-ts-client';
import type { Clock } from '../../activities/ports/activity-context.js';
import { formatDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';

/** How long a server that is away is waited for. */
export interface PatienceOptions {
  readonly clock: Clock;
  /** Default 10 minutes. */
  readonly patienceMs?: number;
}

/** Repeats `attempt` while MLflow is away; see {@link createPatience}. */
export type Patience = <T>(signal: AbortSignal, attempt: () => Promise<T>) => Promise<T>;

const DEFAULT_PATIENCE_MS = 600_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;

/**
 * Repeats an attempt after `min(500 ms * 2^n, 15 s)` while its error says that the server is away, or that its answer got lost. So
 * an attempt that creates something must begin with a search for it. Ends with `TrackingUnavailable` when the patience is
 * over, with `TrackingRefused` at once when waiting does not help, and with the signal's reason when that aborts.
 */
export function createPatience({ clock, patienceMs = DEFAULT_PATIENCE_MS }: PatienceOptions): Patience {
  return async (signal, attempt) => {
    const deadlineMs = clock.nowMs() + patienceMs;
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS)) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (!isMlflowError(error)) throw error;
        if (!error.retryable && !error.doubt)
          throw new AnnealError('TrackingRefused', error.message, { cause: error });
        const leftMs = deadlineMs - clock.nowMs();
        if (leftMs <= 0) {
          const waited = `MLflow was waited for ${formatDuration(patienceMs)} in vain.`;
          throw new AnnealError('TrackingUnavailable', `${error.message} ${waited}`, { cause: error });
        }
        await clock.sleep(Math.min(Math.max(delayMs, error.retryAfterMs ?? 0), leftMs), signal);
      }
    }
  };
}
