import type { Gate, RecordedDecision } from '../core/approval.js';
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

/** Why decisions that were kept for a gate of this name are not for what waits now, where none is for this call. */
export function problemOfOtherKept(
  { name, digest }: Gate,
  seed: RetrySeed | undefined,
  taken: readonly RecordedDecision[],
): { readonly by: string; readonly reason: string } | undefined {
  const ids = new Set(taken.map(({ id }) => id));
  const others = (seed?.decisions ?? []).filter(
    (kept) => kept.gate === name && kept.digest !== digest && !ids.has(kept.id),
  );
  if (others.length === 0) return undefined;
  const distinct = (values: readonly string[]) => [...new Set(values)];
  const [first = '', ...more] = distinct(others.map((kept) => kept.digest));
  const which = `${first.slice(0, 12)}${more.length === 0 ? '' : ` and ${more.length} more`}`;
  return {
    by: distinct(others.map(({ by }) => by)).join(', '),
    reason: `What was decided on "${name}" in the run before is for digest ${which}; what waits has ${digest.slice(0, 12)}. Look at it again, then decide.`,
  };
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
