import { tallyDecisions, type Gate, type RecordedDecision } from './approval.js';

/** What became of a gate: the lines of the audit that are no person's decision. */
export interface GateRecord {
  readonly gate: string;
  /** Call of the gate; its decisions name it too. */
  readonly callId: string;
  readonly digest: string;
  readonly openedAtMs: number;
  readonly quorum: number;
  /** From when on others could decide too, and who; present once that came. */
  readonly escalated?: { readonly atMs: number; readonly to: readonly string[] };
  /** Absent while it waits. */
  readonly ended?: GateEnd;
}

/** How a gate ended. */
export interface GateEnd {
  readonly atMs: number;
  /** `vetoed`: rejected by somebody with a veto. `cancelled`: with its run, or the branch that waited. */
  readonly outcome: 'approved' | 'rejected' | 'vetoed' | 'expired' | 'cancelled';
  /** Whose approvals or rejections ended it. */
  readonly by?: readonly string[];
  /** What an expiry counts as. */
  readonly countsAs?: 'approve' | 'reject' | 'fail';
}

/** A gate as it opens. */
export function openRecord(callId: string, { name, digest, openedAtMs, quorum }: Gate): GateRecord {
  return { gate: name, callId, digest, openedAtMs, quorum };
}

/** The same where its escalation has come by then. */
export function escalatedBy(record: GateRecord, { escalation }: Gate, nowMs: number): GateRecord {
  if (record.escalated || !escalation || nowMs < escalation.atMs) return record;
  const to = escalation.approvers.map(({ name }) => name);
  return { ...record, escalated: { atMs: escalation.atMs, to } };
}

/** How a gate ended that no longer waits. @param onExpiry what it does where nobody decided in time. */
export function endOfGate(
  gate: Gate,
  counted: readonly RecordedDecision[],
  { atMs, onExpiry }: { readonly atMs: number; readonly onExpiry: 'approve' | 'reject' | 'fail' },
): GateEnd {
  const saying = (verdict: 'approve' | 'reject') =>
    counted.filter(({ decision }) => decision === verdict).map(({ by }) => by);
  switch (tallyDecisions(gate, counted, atMs)) {
    case 'approved':
      return { atMs, outcome: 'approved', by: saying('approve') };
    case 'rejected': {
      const vetoes = saying('reject').filter((name) => gate.veto?.includes(name) === true);
      return vetoes.length > 0
        ? { atMs, outcome: 'vetoed', by: vetoes }
        : { atMs, outcome: 'rejected', by: saying('reject') };
    }
    case 'waiting':
      return { atMs, outcome: 'expired', countsAs: onExpiry };
  }
}
