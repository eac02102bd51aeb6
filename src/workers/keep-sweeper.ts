import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { systemTaskQueue } from '../core/run.js';
import { SWEEP_NOW, SWEEPER_WORKFLOW, sweeperWorkflowId } from '../core/sweep.js';

const INTERVAL_MS = 120_000;

/** Sees to it that the project's sweeper runs, now and every two minutes, until the signal; one that runs is asked to look. */
export async function keepSweeper(
  client: Client,
  project: string,
  { signal, log }: { readonly signal: AbortSignal; readonly log: (message: string) => void },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await client.workflow.signalWithStart(SWEEPER_WORKFLOW, {
        workflowId: sweeperWorkflowId(project),
        taskQueue: systemTaskQueue(project),
        args: [],
        signal: SWEEP_NOW,
        signalArgs: [],
        staticSummary: 'accounts for runs that ended without code of their own',
      });
    } catch (error) {
      log(`could not start the sweeper: ${error instanceof Error ? error.message : String(error)}`);
    }
    await wait(INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
