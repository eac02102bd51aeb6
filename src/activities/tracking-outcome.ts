import type { ArtifactRef } from '../core/artifacts.js';
import type { AttemptOutcome, AttemptRequest } from '../core/attempt.js';
import { addCost, costOfAttempt } from '../core/cost.js';
import type { TrackedPoint, TrackedRun } from './ports/tracking.js';

/** How an attempt ended, for its tracked run; `cancelled` for one that was ended without an outcome. */
export type TrackedOutcome = AttemptOutcome | { readonly kind: 'cancelled'; readonly endedAtMs: number };

/**
 * The numbers of the attempt's Metrics outputs, at the last step of the curve of that name if there is one. A number that the curve
 * ends with is not logged again. Where two outputs have a number of one name, the second is called `<output>.<name>`.
 */
export function readFinalMetrics(outcome: TrackedOutcome, latest: TrackedRun['latest']): TrackedPoint[] {
  const points = new Map<string, TrackedPoint>();
  for (const [output, name, value] of readMetricValues(outcome)) {
    if (typeof value !== 'number') continue;
    const unique = points.has(name) ? `${output}.${name}` : name;
    points.set(unique, {
      name: unique,
      value,
      step: latest[unique]?.step ?? 0,
      timestampMs: outcome.endedAtMs,
    });
  }
  return [...points.values()].filter(({ name, value }) => latest[name]?.value !== value);
}

/** Metric of a step's run and of the run itself: what its attempts cost on pools with a price. */
export const COST_METRIC = 'anneal.cost';

/**
 * What the attempts of a step cost together, at the number of the attempt; nothing where its pool has no price. A second closing of the same
 * attempt adds nothing, and an attempt that was cancelled says not when it began: that is in the cost of the run alone.
 */
export function readCostPoint(
  { pricePerHour, attempt }: Pick<AttemptRequest, 'pricePerHour' | 'attempt'>,
  outcome: TrackedOutcome,
  latest: TrackedRun['latest'],
): TrackedPoint[] {
  const before = latest[COST_METRIC];
  if (pricePerHour === undefined || outcome.kind === 'cancelled' || (before && before.step >= attempt))
    return [];
  const value = addCost(before?.value, costOfAttempt({ pricePerHour }, outcome) ?? 0);
  return [{ name: COST_METRIC, value, step: attempt, timestampMs: outcome.endedAtMs }];
}

/** Digests of outputs, texts among the metrics, and what went wrong. */
export function buildOutcomeTags(outcome: TrackedOutcome): { [name: string]: string } {
  switch (outcome.kind) {
    case 'cancelled':
      return { 'anneal.outcome': 'cancelled' };
    case 'failed':
      return { 'anneal.outcome': outcome.code, 'anneal.failure': outcome.message };
    case 'succeeded': {
      const digests = Object.entries(outcome.outputs).map(([output, { digest }]) => [
        `anneal.output.${output}`,
        digest,
      ]);
      const texts = readMetricValues(outcome).flatMap(([, name, value]) =>
        typeof value === 'string' ? [[name, value]] : [],
      );
      return {
        ...Object.fromEntries([...texts, ...digests]),
        'anneal.outcome': 'succeeded',
        'anneal.failure': '',
      };
    }
  }
}

/** Output, name and value of everything in the Metrics outputs. */
function readMetricValues(outcome: TrackedOutcome): [string, string, unknown][] {
  if (outcome.kind !== 'succeeded') return [];
  return Object.entries(outcome.outputs)
    .filter(([, ref]) => ref.kind === 'Metrics')
    .flatMap(([output, ref]) =>
      listValues(ref).map(([name, value]): [string, string, unknown] => [output, name, value]),
    );
}

function listValues({ values }: ArtifactRef): [string, unknown][] {
  return typeof values === 'object' && values !== null ? Object.entries(values) : [];
}
