import type { RecordedDecision } from '../core/approval.js';
import { canonicalJson } from '../core/json.js';
import type { RunStatus } from '../core/run.js';

/** What the audit is made of. */
type Audited = Pick<RunStatus, 'decisions' | 'gates'>;

/**
 * How a record of decisions differs from what its run handed over, one sentence for each difference: what was taken out, put in or changed
 * since, whether it was signed or not.
 */
export function compareDecisions(record: Audited, handedOver: Audited): readonly string[] {
  const { decisions: found = [], gates = [] } = record;
  const { decisions: expected = [] } = handedOver;
  const problems = [
    ...expected
      .filter(({ id }) => !found.some((decision) => decision.id === id))
      .map((decision) => `The record lacks what the run took: ${textOf(decision)}.`),
    ...found.flatMap((decision) => {
      const original = expected.find(({ id }) => id === decision.id);
      if (!original) return [`The record has what the run never took: ${textOf(decision)}.`];
      const fields = changedFields(decision, original);
      return fields.length === 0
        ? []
        : [`The record was changed (${fields.join(', ')}). The run took: ${textOf(original)}.`];
    }),
  ];
  if (problems.length === 0 && !same(found, expected))
    problems.push(
      'The record has the decisions in another order than the run took them, or one of them twice.',
    );
  return [...problems, ...compareGates(gates, handedOver.gates ?? [])];
}

function compareGates(
  found: NonNullable<Audited['gates']>,
  expected: NonNullable<Audited['gates']>,
): readonly string[] {
  if (same(found, expected)) return [];
  const names = [...found, ...expected]
    .filter((record) => ![found, expected].every((list) => list.some((other) => same(other, record))))
    .map(({ gate }) => `"${gate}"`);
  return [
    `What the record says of gate ${[...new Set(names)].join(', ') || 'openings'} (opened, escalated, ended) is not what the run says.`,
  ];
}

function changedFields(found: RecordedDecision, original: RecordedDecision): readonly string[] {
  const before: { readonly [field: string]: unknown } = { ...original };
  const after: { readonly [field: string]: unknown } = { ...found };
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.filter((name) => !same(before[name], after[name]));
}

function textOf({ gate, by, decision, digest, receivedAtMs }: RecordedDecision): string {
  return `${decision} of "${gate}" by ${by} at ${new Date(receivedAtMs).toISOString()}, digest ${digest.slice(0, 12)}`;
}

function same(one: unknown, other: unknown): boolean {
  return canonicalJson(one ?? null) === canonicalJson(other ?? null);
}
