import { CancellationScope } from '@temporalio/workflow';

/** Where calls wait that are not started yet, at the cost of a promise each. */
export interface StartLine {
  /** Starts a call in its turn, or when its scope is cancelled. `leave`: it does not count any more; to say so twice does no harm. */
  enter(start: (leave: () => void) => void): void;
}

/** Lets `limit` calls start at once, in the order in which they came. */
export function createStartLine(limit: number): StartLine {
  const waiting = new Map<() => void, CancellationScope>();
  const watched = new WeakSet<CancellationScope>();
  let starting = 0;
  const letIn = (enter: () => void) => {
    waiting.delete(enter);
    starting++;
    enter();
  };
  const watch = (scope: CancellationScope) => {
    if (watched.has(scope)) return;
    watched.add(scope);
    scope.cancelRequested.catch(() => {
      if (!scope.consideredCancelled) return;
      for (const [enter, of] of [...waiting]) if (of === scope) letIn(enter);
    });
  };
  const leaving = () => {
    let gone = false;
    return () => {
      if (gone) return;
      gone = true;
      starting--;
      const [next] = waiting.keys();
      if (next && starting < limit) letIn(next);
    };
  };
  return {
    enter: (start) => {
      if (starting < limit) {
        starting++;
        start(leaving());
        return;
      }
      const scope = CancellationScope.current();
      watch(scope);
      // A promise, so that the call starts in the scope in which it was made.
      void new Promise<void>((resolve) => waiting.set(resolve, scope)).then(() => start(leaving()));
    },
  };
}
