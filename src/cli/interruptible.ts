import type { CommandContext } from './command.js';
import { EXIT_INTERRUPTED, INTERRUPTED } from './report-error.js';

/** What {@link createInterrupts} stands on; of this process if not given. */
export interface InterruptDeps {
  readonly signals?: {
    on(name: NodeJS.Signals, listener: (name: NodeJS.Signals) => void): unknown;
    off(name: NodeJS.Signals, listener: (name: NodeJS.Signals) => void): unknown;
  };
  readonly nowMs?: () => number;
  readonly exit?: (code: number) => void;
}

/** How work comes to an early, orderly end. */
export interface Interrupts {
  /**
   * Runs work whose signal is aborted by the first Ctrl-C, SIGTERM or SIGHUP. A second Ctrl-C ends the program at once, for a person who
   * does not want to wait for an orderly end.
   */
  readonly interruptible: CommandContext['interruptible'];
  /** Aborts the present work and whatever follows, as a signal would. */
  abort(why: string): void;
}

/** Makes the interrupts of one program. */
export function createInterrupts({
  signals = process,
  nowMs = () => performance.now(),
  exit = (code) => process.exit(code),
}: InterruptDeps = {}): Interrupts {
  const controller = new AbortController();
  let firstMs = 0;
  const abort = (why: string) => {
    if (controller.signal.aborted) return;
    firstMs = nowMs();
    controller.abort(Object.assign(new Error(`interrupted by ${why}`), { code: INTERRUPTED }));
  };
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted && name === 'SIGINT' && nowMs() - firstMs > SAME_KEY_MS)
      exit(EXIT_INTERRUPTED);
    abort(name);
  };
  return {
    abort,
    interruptible: async (work) => {
      for (const name of SIGNALS) signals.on(name, onSignal);
      // Waiting for a signal alone keeps no program alive: Node would leave in the middle of the work, with exit code 13.
      const alive = setInterval(() => undefined, A_DAY_MS);
      try {
        return await work(controller.signal);
      } finally {
        clearInterval(alive);
        for (const name of SIGNALS) signals.off(name, onSignal);
      }
    },
  };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const A_DAY_MS = 86_400_000;
/** One Ctrl-C may arrive twice: from the terminal, and passed on by npm. */
const SAME_KEY_MS = 1_000;
