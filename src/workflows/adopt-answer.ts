import type { JournalEntry } from '../core/journal.js';
import { makerOf, type RetrySeed } from '../core/run-control.js';
import type { CallStatus } from '../core/run.js';
import type { CallIdentity, LiveCall } from './run-context.js';
import type { RunView } from './run-state.js';

/** Answers a call with the finished work of the run that this one takes up, and shows where it is from. */
export function adopt(entry: JournalEntry, { identity, call, seed, view }: Adoption): unknown {
  const { kind, name } = identity;
  if (isShown(kind)) {
    const maker = makerOf(entry.v);
    const atMs = Date.now();
    view.put({
      id: call.callId,
      kind,
      name,
      state: 'cached',
      attempt: 1,
      startedAtMs: atMs,
      endedAtMs: atMs,
      detail: `taken up from ${seed.of.runId}`,
      cachedFrom: { runId: seed.of.runId, executionId: maker?.executionId ?? seed.of.executionId },
      ...(maker === undefined ? {} : { attemptName: maker.attemptName }),
    });
  }
  return entry.v;
}

interface Adoption {
  readonly identity: CallIdentity;
  readonly call: LiveCall;
  readonly seed: RetrySeed;
  readonly view: RunView;
}

function isShown(kind: string): kind is CallStatus['kind'] {
  return ['step', 'task', 'approval', 'pipeline', 'model'].includes(kind);
}
