import { EXIT_INTERRUPTED } from './report-error.js';

/**
 * Runs work whose signal is aborted by the first Ctrl-C or SIGTERM. A second Ctrl-C ends the program at once, for a person who does not
 * want to wait for an orderly end.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted && name === 'SIGINT') process.exit(EXIT_INTERRUPTED);
    controller.abort(new Error(`interrupted by ${name}`));
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
