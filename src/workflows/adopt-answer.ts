import type { RecordedDecision } from '../core/approval.js';
import { callIdOf, type CallKind, type JournalEntry } from '../core/journal.js';
import { makerOf, type RetrySeed } from '../core/run-control.js';
import type { CallStatus } from '../core/run.js';
import type { RunView } from './run-state.js';

/** A call that is answered with the finished work of another run. */
interface Adoption {
  readonly kind: CallKind;
  readonly name: string;
  readonly callId: string;
  readonly seed: RetrySeed;
  readonly view: RunView;
  /** Shows the decisions behind an approval. */
  readonly keep: (decisions: readonly RecordedDecision[]) => void;
}

/** The answer that the other run got; the status shows where it is from. */
export function adopt(entry: JournalEntry, { kind, name, callId, seed, view, keep }: Adoption): unknown {
  if (!isShown(kind)) return entry.v;
  const { runId, executionId } = seed.of;
  if (kind === 'approval') keep(keptDecisions(entry, seed, callId));
  const maker = makerOf(entry.v);
  const atMs = Date.now();
  view.put({
    id: callId,
    kind,
    name,
    state: 'cached',
    attempt: 1,
    startedAtMs: atMs,
    endedAtMs: atMs,
    detail: `taken up from ${runId}`,
    cachedFrom: { runId, executionId: maker?.executionId ?? executionId },
    ...(maker === undefined ? {} : { attemptName: maker.attemptName }),
  });
  return entry.v;
}

/** What people decided in the other run on this gate; one that was kept there already names the run in which it was made. */
function keptDecisions(
  { k, v }: JournalEntry,
  { of, decisions = [] }: RetrySeed,
  callId: string,
): RecordedDecision[] {
  const { approvedBy = [] } = (v ?? {}) as { readonly approvedBy?: readonly string[] };
  // Of a run without a record only its history is known, which does not say for which call a decision counted.
  const isOf = ({ callId: madeFor, gate, by }: RecordedDecision) =>
    madeFor === ''
      ? k.startsWith(`approval:${gate}|`) && approvedBy.includes(by)
      : madeFor === callIdOf(of.executionId, k);
  return decisions
    .filter(isOf)
    .map((decision) => ({ ...decision, callId, keptFrom: decision.keptFrom ?? of }));
}

function isShown(kind: string): kind is CallStatus['kind'] {
  return ['step', 'task', 'approval', 'pipeline', 'model'].includes(kind);
}
