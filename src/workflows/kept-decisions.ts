import type { RecordedDecision } from '../core/approval.js';
import { callIdOf } from '../core/journal.js';
import type { CallStatus } from '../core/run.js';
import type { RetrySeed } from '../core/run-control.js';
import type { LiveCall } from './live-call.js';

/** What people decided on this call in the run that is taken up. */
export function keptFor({ key }: LiveCall, seed: RetrySeed | undefined): readonly RecordedDecision[] {
  if (!seed) return [];
  const there = callIdOf(seed.of.executionId, key);
  return (seed.decisions ?? []).filter(({ callId }) => callId === there);
}

/** How an approval shows: as taken up where nobody had to decide again. */
export function howApproved(
  by: string,
  counted: readonly RecordedDecision[],
  seed: RetrySeed | undefined,
): Pick<CallStatus, 'state' | 'detail' | 'cachedFrom'> {
  if (!seed || counted.some(({ keptFrom }) => keptFrom === undefined))
    return { state: 'succeeded', detail: `approved by ${by}` };
  return {
    state: 'cached',
    detail: `approved by ${by}, taken up from ${seed.of.runId}`,
    cachedFrom: seed.of,
  };
}
