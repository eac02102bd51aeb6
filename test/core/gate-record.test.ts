import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Gate, RecordedDecision } from '../../src/core/approval.js';
import { endOfGate, escalatedBy, openRecord } from '../../src/core/gate-record.js';

const gate: Gate = {
  ...{
    name: 'go-live',
    digest: 'd'.repeat(64),
    openedAtMs: 1_000,
    quorum: 1,
    allowUnverified: true,
    form: {},
  },
  escalation: { atMs: 5_000, approvers: [{ name: 'dora', keys: [] }] },
};
const says = (by: string, decision: 'approve' | 'reject'): RecordedDecision => ({
  ...{ gate: 'go-live', digest: gate.digest, decision, by, id: by, callId: 'c1', receivedAtMs: 2_000 },
  verified: true,
});
const ends = (of: Gate, ...counted: RecordedDecision[]) =>
  endOfGate(of, counted, { atMs: 9_000, onExpiry: 'reject' });

describe('what became of a gate', () => {
  test('is noted as it opens, and from its moment on that others may decide', () => {
    const record = openRecord('c1', gate);
    assert.deepEqual(record, {
      ...{ gate: 'go-live', callId: 'c1', digest: gate.digest, openedAtMs: 1_000, quorum: 1 },
    });
    assert.equal(escalatedBy(record, gate, 4_999), record);
    const escalated = escalatedBy(record, gate, 7_000);
    assert.deepEqual(escalated.escalated, { atMs: 5_000, to: ['dora'] });
    assert.equal(escalatedBy(escalated, gate, 8_000), escalated, 'once');
  });

  test('is by whom it ended: enough approvals, a rejection, a veto, or nobody in time', () => {
    assert.deepEqual(ends(gate, says('ana', 'approve')), { atMs: 9_000, outcome: 'approved', by: ['ana'] });
    assert.deepEqual(ends(gate, says('ana', 'reject')), { atMs: 9_000, outcome: 'rejected', by: ['ana'] });
    const vetoes = { ...gate, veto: ['risk'], quorum: 2 };
    assert.deepEqual(ends(vetoes, says('ana', 'reject'), says('risk', 'reject')), {
      ...{ atMs: 9_000, outcome: 'vetoed', by: ['risk'] },
    });
    assert.deepEqual(ends(gate), { atMs: 9_000, outcome: 'expired', countsAs: 'reject' });
  });
});
