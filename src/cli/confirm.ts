import { createInterface } from 'node:readline/promises';

/** Asks the person at the terminal; anything but yes is no. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const asked = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await asked.question(question, { signal })).trim());
  } finally {
    asked.close();
  }
}
