import {
  condition,
  defineSignal,
  log,
  makeContinueAsNewFunc,
  proxyActivities,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import { SWEEP_NOW, type SweepState } from '../core/sweep.js';

const sweepNow = defineSignal(SWEEP_NOW);

const NEVER_SWEPT: SweepState = { watermarkMs: 0, unfinished: [], stuck: [] };

/** What is asked to be looked at may not be on the server's lists yet. */
const LAG = '1s';

/**
 * Accounts for what runs no code of its own: terminated and timed-out runs, stuck ones, skipped times of schedules. One for each project,
 * for ever; workers start it again where somebody ended it.
 */
export async function sweeper(state: SweepState = NEVER_SWEPT, everyMs = 60_000): Promise<void> {
  const { sweep } = proxyActivities<SystemActivities>({
    startToCloseTimeout: '15m',
    heartbeatTimeout: '20s',
    retry: { maximumInterval: '1m' },
    summary: 'account for what ran no code',
  });
  let asked = false;
  setHandler(
    sweepNow,
    () => {
      asked = true;
    },
    { description: 'Look now' },
  );
  let known = state;
  for (;;) {
    asked = false;
    try {
      known = await sweep(known);
    } catch (error) {
      log.warn('nothing was swept', { error: String(error) });
    }
    if (await condition(() => asked, everyMs, { summary: 'until the next look' })) await sleep(LAG);
    if (workflowInfo().continueAsNewSuggested) await makeContinueAsNewFunc<typeof sweeper>()(known, everyMs);
  }
}
