import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { CacheAnswer, CacheQuery } from '../core/claims.js';
import type { Clock } from './ports/activity-context.js';
import type { CacheAsker, StepCache } from './step-cache.js';

/** Looks at the store follow each other after 0.1 s at first and 2 s in the end. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
const PAUSE_FACTOR = 1.3;
/** Time after which a wait gives its slot of the worker to others and comes back. */
const HOLD_MS = 30_000;

/** A call that waits for another one's result. */
export interface CacheWait {
  readonly query: CacheQuery;
  readonly asker: CacheAsker;
  /** From then on it makes its own result. */
  readonly untilMs: number;
  /** The run that it waits for; another one is an answer too. */
  readonly runId: string;
}

/** Waits until a look at the cache gives something else than "wait for that run". @throws the signal's reason. */
export async function awaitCache(
  { cache, clock }: { readonly cache: StepCache; readonly clock: Clock },
  { query, asker, untilMs, runId }: CacheWait,
  signal: AbortSignal,
): Promise<CacheAnswer> {
  const givesWayAtMs = clock.nowMs() + HOLD_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * PAUSE_FACTOR, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    const answer = await cache.ask(query, asker, { force: clock.nowMs() >= untilMs });
    if (answer.kind !== 'busy' || answer.runId !== runId) return answer;
    if (clock.nowMs() >= givesWayAtMs) throw stillWaiting(runId);
    await clock.sleep(Math.max(1, Math.min(pauseMs, untilMs - clock.nowMs())), signal);
  }
}

/** Temporal calls the activity again: that costs the run no history, and its worker no slot meanwhile. */
function stillWaiting(runId: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'StillWaiting',
    message: `Run ${runId} is still making the result.`,
    category: ApplicationFailureCategory.BENIGN,
    nextRetryDelay: '1s',
  });
}
