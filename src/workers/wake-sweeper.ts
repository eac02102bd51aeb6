import type { Client } from '@temporalio/client';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import { systemTaskQueue } from '../core/run.js';
import { SWEEP_NOW, SWEEPER_WORKFLOW, sweeperWorkflowId } from '../core/sweep.js';
import { isAwaited, type TriggerSource } from '../core/triggers.js';

/** Asks the project's sweeper to look now; one that does not run is started. */
export async function askSweeper(client: Client, project: string): Promise<void> {
  await client.workflow.signalWithStart(SWEEPER_WORKFLOW, {
    workflowId: sweeperWorkflowId(project),
    taskQueue: systemTaskQueue(project),
    args: [],
    signal: SWEEP_NOW,
    signalArgs: [],
    staticSummary: 'accounts for runs that ended without code of their own',
  });
}

/** What {@link createWakeSweeper} is made of. */
export interface WakeSweeperDeps {
  /** The build that new runs use. */
  readonly readCurrent: () => Promise<{ readonly pipelines: readonly PipelineDefinition[] } | undefined>;
  readonly ask: () => Promise<void>;
  readonly nowMs: () => number;
  readonly log: (message: string) => void;
}

/** For so long it is not asked anew what triggers wait for: thousands of runs may end in a minute. */
const KNOWN_MS = 10_000;

/**
 * Has the sweeper look at once where a trigger waits for what has just happened. Nothing fails by it: the sweeper looks once a minute by
 * itself.
 */
export function createWakeSweeper(deps: WakeSweeperDeps): (source: TriggerSource) => Promise<void> {
  const { readCurrent, ask, nowMs, log } = deps;
  let known: { readonly atMs: number; readonly pipelines: readonly PipelineDefinition[] } | undefined;
  return async (source) => {
    try {
      if (known === undefined || nowMs() - known.atMs > KNOWN_MS)
        known = { atMs: nowMs(), pipelines: (await readCurrent())?.pipelines ?? [] };
      if (isAwaited(known.pipelines, source)) await ask();
    } catch (error) {
      log(`the sweeper was not asked to look at triggers: ${String(error)}`);
    }
  };
}
