import type { AttemptOutcome, AttemptRequest } from '../core/attempt.js';
import type { CacheSlot } from '../core/claims.js';
import { quietlyWithin } from './quietly-within.js';
import type { StepCache } from './step-cache.js';

/** Time that an attempt which has ended waits for the cache to take its result. */
const PATIENCE_MS = 10_000;

/** An attempt that ended, and the claim that was made for it. */
export interface SettledAttempt {
  readonly slot: CacheSlot | undefined;
  readonly request: AttemptRequest;
  readonly runId: string;
  readonly outcome: AttemptOutcome;
}

/**
 * Puts the result of an attempt under its claim, or closes the claim, before the activity ends: others look at the claim and then at the
 * activity. Without a store that answers it gives up: they find the activity gone and make the result themselves.
 */
export async function settleSlot(
  cache: StepCache,
  { slot, request, runId, outcome }: SettledAttempt,
): Promise<void> {
  // Runs of older builds send a text here.
  if (typeof slot !== 'object') return;
  const of = { step: request.step, key: slot.key, generation: slot.generation };
  const write = () =>
    outcome.kind === 'succeeded'
      ? cache.store(of, {
          outcome,
          runId,
          executionId: request.executionId,
          pipeline: request.pipeline,
          ...(request.tracking === undefined ? {} : { experimentId: request.tracking.experimentId }),
        })
      : cache.close(of, `an attempt of run ${runId} failed: ${outcome.code}`);
  await quietlyWithin(PATIENCE_MS, write);
}
