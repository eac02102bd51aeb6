import { CancellationScope, condition } from '@temporalio/workflow';
import type { AtRest } from './journal-player.js';

/**
 * Waits until the workflow has come to rest, however deep its code is nested: Temporal looks at blocked conditions only when no
 * microtask is left. One loop serves all who wait, out of reach of the run's cancellation; promises are dear in the sandbox, which
 * records a stack trace for each.
 */
export function createAtRest(): AtRest {
  const waiting: (() => void)[] = [];
  void CancellationScope.nonCancellable(async () => {
    // A workflow's first turn runs inside its activation; conditions are looked at there before any microtask.
    await Promise.resolve();
    for (;;) {
      await condition(atSecondSight(() => waiting.length > 0));
      waiting.shift()?.();
    }
  });
  return (then) => void waiting.push(then);
}

/** A condition is looked at when it is made, too: in the middle of what is going on. */
function atSecondSight(holds: () => boolean): () => boolean {
  let seen = false;
  return () => {
    const result = seen && holds();
    seen = true;
    return result;
  };
}
