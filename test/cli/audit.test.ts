import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AuditedDecision, GateRecord, RunAudit } from '../../src/client/index.js';
import { cli } from './fake-cli.js';

const DIGEST = 'd'.repeat(64);
const decided = (by: string, at: number, given: Partial<AuditedDecision> = {}): AuditedDecision => ({
  ...{ gate: 'go-live', digest: DIGEST, decision: 'approve', by, id: by, callId: 'c1' },
  ...{ receivedAtMs: at * 1_000, verified: true, ...given },
});
const gate = (given: Partial<GateRecord>): GateRecord => ({
  ...{ gate: 'go-live', callId: 'c1', digest: DIGEST, openedAtMs: 1_000, quorum: 2, ...given },
});
const audited = async (found: Partial<RunAudit>, ...argv: string[]) =>
  await cli(['audit', 'churn-1', ...argv], {
    client: {
      audit: async (runId) =>
        await Promise.resolve({
          ...{ runId, executionId: 'e1', pipeline: 'churn', state: 'completed', decisions: [], gates: [] },
          ...found,
        }),
    },
  });

describe('anneal audit', () => {
  test('shows what people decided and what came of their gates as one list in order', async () => {
    const { out, code } = await audited({
      decisions: [
        decided('ana', 3, { comment: 'good' }),
        decided('dora', 5, { decision: 'reject', verified: false }),
      ],
      gates: [
        gate({
          escalated: { atMs: 4_000, to: ['dora', 'eli'] },
          ended: { atMs: 5_000, outcome: 'vetoed', by: ['dora'] },
        }),
        gate({
          ...{ callId: 'c2', gate: 'publish', openedAtMs: 6_000, quorum: 1 },
          ended: { atMs: 9_000, outcome: 'expired', countsAs: 'approve' },
        }),
      ],
    });
    assert.equal(code, 0);
    assert.deepEqual(out.split('\n'), [
      'churn-1  completed',
      `  1970-01-01T00:00:01.000Z  opened  "go-live"  digest ${DIGEST}, 2 approvals asked`,
      '  1970-01-01T00:00:03.000Z  approve  "go-live"  by ana (verified)',
      `    digest ${DIGEST}`,
      '    good',
      '  1970-01-01T00:00:04.000Z  escalated  "go-live"  to dora, eli',
      '  1970-01-01T00:00:05.000Z  reject  "go-live"  by dora (unverified)',
      `    digest ${DIGEST}`,
      '  1970-01-01T00:00:05.000Z  vetoed  "go-live"  by dora',
      `  1970-01-01T00:00:06.000Z  opened  "publish"  digest ${DIGEST}`,
      '  1970-01-01T00:00:09.000Z  expired  "publish", which counts as: approve',
      '',
    ]);
  });

  test('says that nobody decided, and of a gate that expired that it did', async () => {
    const { out } = await audited({
      gates: [gate({ ended: { atMs: 2_000, outcome: 'expired', countsAs: 'fail' } })],
    });
    assert.match(out, /Nobody has decided anything[^]*expired {2}"go-live", which counts as: fail/);
  });

  for (const [what, found, expected, wanted] of [
    ['the same as the history', { with: 'history', problems: [] }, /as its history in Temporal has it/, 0],
    ['of a run that lives', { with: 'run', problems: [] }, /what the run itself says now/, 0],
    [
      'of a run that ended without a word',
      { with: 'none', problems: [] },
      /nothing shows that these are all/,
      0,
    ],
    [
      'another than the history',
      { with: 'history', problems: ['The record lacks what the run took: \u001b[2Jreject.'] },
      /^ {2}The record lacks what the run took: \P{Cc}*reject\.$/mu,
      1,
    ],
  ] as const)
    test(`of a record that is ${what} says so, and exits with ${wanted}`, async () => {
      const { out, code } = await audited({ comparison: found }, '--verify');
      assert.match(out, expected);
      assert.equal(code, wanted);
    });
});
