import { CancellationScope, CancelledFailure } from '@temporalio/workflow';

/** Places for what is in flight. */
export interface Places {
  /** How many are taken. */
  readonly taken: number;
  /** Takes one and starts, now or when one is free; nothing to wait for: it has started. @throws CancelledFailure where the caller is cancelled first. */
  take(start: () => void): Promise<void> | undefined;
  /** Gives one back. */
  leave(): void;
  /** Lets those in that wait, as far as they may. */
  admit(): void;
}

/**
 * So many places.
 * @param mustWait whether nothing new may start now, whatever is free.
 */
export function createPlaces(limit: number, mustWait: () => boolean): Places {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const admit = () => {
    while (waiting.length > 0 && taken < limit && !mustWait()) waiting.shift()?.();
  };
  return {
    get taken() {
      return taken;
    },
    take: (start) => {
      const begin = () => {
        taken++;
        start();
      };
      if (!mustWait() && taken < limit) {
        begin();
        return undefined;
      }
      const scope = CancellationScope.current();
      return new Promise((resolve, reject) => {
        let open = true;
        const enter = () => {
          if (!open) return;
          open = false;
          begin();
          resolve();
        };
        waiting.push(enter);
        // A cancel ends the wait: what was called is not started, but clean-up is.
        scope.cancelRequested.catch((reason: unknown) => {
          if (!scope.consideredCancelled) return enter();
          open = false;
          reject(reason instanceof Error ? reason : new CancelledFailure('cancelled'));
        });
      });
    },
    leave: () => {
      taken--;
      admit();
    },
    admit,
  };
}
