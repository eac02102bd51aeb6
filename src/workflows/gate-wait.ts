import { sleep, type CancellationScope } from '@temporalio/workflow';
import type { Gate } from '../core/approval.js';
import type { ApprovalRequest } from '../pipeline/runtime.js';
import { nextMoment } from './gate.js';
import type { RunContext } from './run-context.js';

/** What a gate waits with. */
export interface GateWait {
  readonly options: ApprovalRequest;
  /** Of the timers; cancelling it ends the wait. */
  readonly scope: CancellationScope;
  readonly isDecided: () => boolean;
  /** Takes what is to be called after each decision. */
  readonly onChange: (then: () => void) => void;
  readonly tell: (why: 'escalated' | 'reminder') => void;
}

/**
 * Resolves when the gate is decided or expires; rejects when the scope is cancelled. It is open for days, and each open promise holds a
 * stack trace in memory: it does with as few as can be.
 */
export function untilDecided(context: RunContext, gate: Gate, wait: GateWait): Promise<void> {
  const { options, scope, isDecided, tell } = wait;
  return new Promise((resolve, reject) => {
    const arm = () => {
      const nowMs = Date.now();
      const next = nextMoment(gate, options, nowMs);
      if (!next) return;
      const { atMs, what } = next;
      const ring = () => {
        if (what === 'expired') resolve();
        else if (!isDecided()) {
          tell(what);
          arm();
        }
      };
      if (atMs <= nowMs) ring();
      else startTimer(scope, { ms: atMs - nowMs, summary: `approval ${gate.name}`, ring });
    };
    if (isDecided()) {
      resolve();
      return;
    }
    wait.onChange(() => {
      // Not before every decision of this moment has its answer.
      if (!isDecided()) return;
      context.whenAtRest(() => {
        scope.cancel();
        resolve();
      });
    });
    scope.cancelRequested.catch(reject);
    arm();
  });
}

/** Not awaited by the scope, which would hold two more promises. */
function startTimer(
  scope: CancellationScope,
  { ms, summary, ring }: { readonly ms: number; readonly summary: string; readonly ring: () => void },
): void {
  void scope.run(() => {
    sleep(ms, { summary }).then(ring, () => undefined);
    return Promise.resolve();
  });
}
