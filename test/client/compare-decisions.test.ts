import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compareDecisions } from '../../src/client/compare-decisions.js';
import type { RecordedDecision } from '../../src/core/approval.js';
import type { GateRecord } from '../../src/core/gate-record.js';

const decided = (by: string, given: Partial<RecordedDecision> = {}): RecordedDecision => ({
  ...{ gate: 'go-live', digest: 'd'.repeat(64), decision: 'approve', by, id: `id-${by}`, callId: 'c1' },
  ...{ receivedAtMs: 1_000, verified: false, ...given },
});
const opened: GateRecord = {
  ...{ gate: 'go-live', callId: 'c1', digest: 'd'.repeat(64), openedAtMs: 0, quorum: 2 },
  ended: { atMs: 2_000, outcome: 'approved', by: ['ana', 'bo'] },
};
const run = { decisions: [decided('ana'), decided('bo')], gates: [opened] };

describe('a record of decisions', () => {
  test('that is what its run handed over has no problem, in whatever order its fields are', () => {
    const decisions = run.decisions.map(
      (decision) => JSON.parse(JSON.stringify(decision, Object.keys(decision).reverse())) as RecordedDecision,
    );
    assert.deepEqual(compareDecisions({ decisions, gates: [opened] }, run), []);
    assert.deepEqual(compareDecisions({}, {}), []);
  });

  for (const [what, record, expected] of [
    [
      'lacks one',
      { ...run, decisions: [decided('ana')] },
      /^The record lacks what the run took: approve of "go-live" by bo at 1970-01-01T00:00:01\.000Z, digest d{12}\.$/,
    ],
    [
      'has one more',
      { ...run, decisions: [...run.decisions, decided('eve')] },
      /^The record has what the run never took: approve of "go-live" by eve /,
    ],
    [
      'was changed where nothing is signed',
      { ...run, decisions: [decided('ana'), decided('bo', { decision: 'reject', comment: 'no' })] },
      /^The record was changed \(decision, comment\)\. The run took: approve of "go-live" by bo /,
    ],
    [
      'calls one verified that was not',
      { ...run, decisions: [decided('ana'), decided('bo', { verified: true })] },
      /changed \(verified\)/,
    ],
    ['has another order', { ...run, decisions: [decided('bo'), decided('ana')] }, /in another order/],
    ['has one twice', { ...run, decisions: [...run.decisions, decided('bo')] }, /one of them twice/],
    ['has no gate', { decisions: run.decisions }, /says of gate "go-live" \(opened, escalated, ended\)/],
    [
      'says that a gate ended otherwise',
      { ...run, gates: [{ ...opened, ended: { atMs: 2_000, outcome: 'expired' } as const }] },
      /says of gate "go-live"/,
    ],
  ] as const)
    test(`that ${what} is told apart`, () => {
      const [problem, ...more] = compareDecisions(record, run);
      assert.deepEqual(more, []);
      assert.match(problem ?? '', expected);
    });
});
