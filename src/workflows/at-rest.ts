import { CancellationScope, condition } from '@temporalio/workflow';

/** Knows whether the workflow is at rest: no microtask is left, the code waits for answers alone. */
export interface Rest {
  /** Calls back once, when the workflow is at rest: at once where it is already. What is called back sets it in motion. */
  readonly reached: (then: () => void) => void;
  /**
   * The same after all that waits for rest now or comes of it; never at once. For answers of local activities: one at a time, as the run may
   * get several together when it is replayed that came one by one, and must ask for what follows in the same order.
   */
  readonly reachedLast: (then: () => void) => void;
  /** Says that the code is in motion: it has just asked for something. */
  readonly disturb: () => void;
}

/**
 * Learns of rest from Temporal, which looks at blocked conditions only when no microtask is left, however deep the code is nested. Each
 * workflow task begins at rest, so the first answer in it waits for nothing. One condition serves all who wait, out of reach of the run's
 * cancellation; promises are dear in the sandbox, which records a stack trace for each, and so is every entry into it.
 * @param onRest called each time that rest is reached; sets nothing in motion.
 */
export function createRest(onRest: () => void): Rest {
  const waiting: (() => void)[] = [];
  const last: (() => void)[] = [];
  let moving = true;
  const look = () => {
    moving = false;
    onRest();
    return waiting.length > 0 || last.length > 0;
  };
  const callNext = () => {
    moving = true;
    (waiting.shift() ?? last.shift())?.();
  };
  const watch = () =>
    void condition(atSecondSight(look)).then(() => {
      callNext();
      watch();
    });
  void CancellationScope.nonCancellable(async () => {
    // A workflow's first turn runs inside its activation; conditions are looked at there before any microtask.
    await Promise.resolve();
    watch();
  });
  return {
    reached: (then) => {
      waiting.push(then);
      if (!moving && waiting.length === 1) callNext();
    },
    reachedLast: (then) => {
      moving = true;
      last.push(then);
    },
    disturb: () => {
      moving = true;
    },
  };
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
