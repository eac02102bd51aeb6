import type { Gate } from '../core/approval.js';
import { escalatedBy, openRecord, type GateEnd, type GateRecord } from '../core/gate-record.js';

/** What became of each gate of a run, in the order in which they opened. */
export class GateRecords {
  /** Changed in place: the run's status shows it. */
  readonly shown: GateRecord[];

  constructor(carried: readonly GateRecord[] | undefined) {
    this.shown = [...(carried ?? [])];
  }

  /** A gate opens, or waits again after the run continued as new. */
  opened(callId: string, gate: Gate): void {
    if (this.indexOf(callId) < 0) this.shown.push(openRecord(callId, gate));
  }

  /** Others may decide from now on, where that is so. */
  escalated(callId: string, gate: Gate): void {
    this.change(callId, (record) => escalatedBy(record, gate, Date.now()));
  }

  ended(callId: string, gate: Gate, end: GateEnd): void {
    this.change(callId, (record) => ({ ...escalatedBy(record, gate, end.atMs), ended: end }));
  }

  /** When the newest gate of this name, on these bytes, expired; undefined where it did not. */
  expiredAtMs(gate: string, digest: string): number | undefined {
    const last = this.shown.findLast((record) => record.gate === gate && record.digest === digest);
    return last?.ended?.outcome === 'expired' ? last.ended.atMs : undefined;
  }

  private change(callId: string, to: (record: GateRecord) => GateRecord): void {
    const at = this.indexOf(callId);
    const record = this.shown[at];
    if (record) this.shown[at] = to(record);
  }

  private indexOf(callId: string): number {
    return this.shown.findIndex((record) => record.callId === callId);
  }
}
