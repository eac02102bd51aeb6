import type { CallKind, JournalEntry } from '../core/journal.js';
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
}

/** The answer that the other run got; the status shows where it is from. */
export function adopt(entry: JournalEntry, { kind, name, callId, seed, view }: Adoption): unknown {
  if (!isShown(kind)) return entry.v;
  const { runId, executionId } = seed.of;
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

function isShown(kind: string): kind is CallStatus['kind'] {
  return ['step', 'task', 'pipeline', 'model'].includes(kind);
}
