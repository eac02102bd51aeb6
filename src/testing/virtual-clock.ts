interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/** Time that passes only when nothing else can happen: a wait of a month takes none of the test's own. */
export class VirtualClock {
  private atMs: number;
  private timers: Timer[] = [];
  private busy = 0;
  private wake: () => void = () => undefined;

  constructor(startMs: number) {
    this.atMs = startMs;
  }

  nowMs(): number {
    return this.atMs;
  }

  /** Waits in virtual time. An abort drops the timer and rejects with the signal's reason. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.timers = this.timers.filter((other) => other !== timer);
        reject(signal.reason as Error);
      };
      const timer: Timer = {
        atMs: this.atMs + Math.max(0, ms),
        fire: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.insert(timer);
    });
  }

  /** Calls `fire` after a virtual time, if the run lasts that long. */
  at(ms: number, fire: () => void): void {
    this.insert({ atMs: this.atMs + ms, fire });
  }

  /** Holds virtual time while a test's own code works in real time. */
  async hold<T>(work: () => T | Promise<T>): Promise<T> {
    this.busy++;
    try {
      return await work();
    } finally {
      this.busy--;
      this.wake();
    }
  }

  /** Lets everything happen until `done`, or until nothing is left that could happen. */
  async drive(done: () => boolean): Promise<'done' | 'stuck'> {
    for (;;) {
      await nextTurn();
      if (done()) return 'done';
      if (this.busy > 0) await new Promise<void>((resolve) => (this.wake = resolve));
      else {
        const next = this.timers.shift();
        if (!next) return 'stuck';
        this.atMs = Math.max(this.atMs, next.atMs);
        next.fire();
      }
    }
  }

  /** Keeps timers in order of time, equal ones in the order in which they were set. */
  private insert(timer: Timer): void {
    const after = this.timers.findIndex((other) => other.atMs > timer.atMs);
    this.timers.splice(after < 0 ? this.timers.length : after, 0, timer);
  }
}

/** Resolves when all promise reactions that are due have run. */
export async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
