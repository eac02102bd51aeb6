import type { AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptWatcher } from './attempt-watcher.js';

/** Wakes who waits for news of a Job: a change, one of the two signals, or the time. No news is lost between two waits. */
export function createWaker(
  watcher: Pick<AttemptWatcher, 'onChange'>,
  jobName: string,
  { cancelled, detached }: Pick<AttemptWatch, 'cancelled' | 'detached'>,
): { next(afterMs: number): Promise<void>; close(): void } {
  let awake = false;
  let resume: (() => void) | undefined;
  const wake = () => {
    awake = true;
    resume?.();
  };
  const stop = watcher.onChange(jobName, wake);
  for (const signal of [cancelled, detached]) signal.addEventListener('abort', wake);
  return {
    next: async (afterMs) => {
      const timer = setTimeout(wake, Math.min(Math.max(0, afterMs), LONGEST_MS));
      await new Promise<void>((resolve) => {
        resume = resolve;
        if (awake) resolve();
      });
      clearTimeout(timer);
      awake = false;
      resume = undefined;
    },
    close: () => {
      stop();
      for (const signal of [cancelled, detached]) signal.removeEventListener('abort', wake);
    },
  };
}

/** Also where nothing is expected: limits depend on the clock, and a cluster can be wrong about its own news. */
const LONGEST_MS = 60_000;
