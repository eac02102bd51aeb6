import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { askSweeper } from './wake-sweeper.js';

const INTERVAL_MS = 120_000;

/** Sees to it that the project's sweeper runs, now and every two minutes, until the signal; one that runs is asked to look. */
export async function keepSweeper(
  client: Client,
  project: string,
  { signal, log }: { readonly signal: AbortSignal; readonly log: (message: string) => void },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await askSweeper(client, project);
    } catch (error) {
      log(`could not start the sweeper: ${error instanceof Error ? error.message : String(error)}`);
    }
    await wait(INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
