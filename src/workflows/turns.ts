import { CancelledFailure, CancellationScope } from '@temporalio/workflow';

/** Turns at something of which only so much may go on at once. */
export interface Turns {
  /**
   * Does a piece of work when its turn has come, in the order of asking.
   * @throws CancelledFailure where the caller's scope is cancelled while it waits; the work is not begun then.
   */
  take<T>(work: () => Promise<T>): Promise<T>;
}

/** Gives `limit` turns at once. */
export function createTurns(limit: number): Turns {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const leave = () => {
    taken--;
    const next = waiting.shift();
    if (!next) return;
    taken++;
    next();
  };
  const begin = <T>(work: () => Promise<T>): Promise<T> => {
    const done = work();
    done.then(leave, leave);
    return done;
  };
  return {
    take: (work) => {
      if (taken >= limit) return inLine(waiting).then(() => begin(work));
      taken++;
      return begin(work);
    },
  };
}

/** Waits at the end of a line; a cancel ends the wait. */
function inLine(waiting: (() => void)[]): Promise<void> {
  const scope = CancellationScope.current();
  return new Promise((resolve, reject) => {
    waiting.push(resolve);
    scope.cancelRequested.catch((reason: unknown) => {
      const at = waiting.indexOf(resolve);
      if (at < 0 || !scope.consideredCancelled) return;
      waiting.splice(at, 1);
      reject(reason instanceof Error ? reason : new CancelledFailure('cancelled'));
    });
  });
}
