import {
  condition,
  defineQuery,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
} from '@temporalio/workflow';
import type { BaselineActivities, BaselineLocalActivities } from './baseline-activities.js';

// T0: what somebody writes by hand with Temporal alone. The activities are on a queue of their own, as a pool's are.
const { ingest, work } = proxyActivities<BaselineActivities>({
  taskQueue: 'baseline/work',
  startToCloseTimeout: '30d',
  heartbeatTimeout: '10s',
});

/** Activities in sequence, each working on what the one before it made. */
export async function baselineChain(steps: number): Promise<string> {
  let data = await ingest(0);
  for (let item = 1; item < steps; item++) data = await work({ item, data });
  return data.digest;
}

const { lookUp } = proxyLocalActivities<BaselineLocalActivities>({ startToCloseTimeout: '2s' });

/** The same with a local activity before each: the least that a look-up costs. */
export async function baselineLookUpChain(steps: number): Promise<string> {
  let data = await ingest(0);
  for (let item = 1; item < steps; item++) {
    if ((await lookUp(item)) !== null) throw new Error('There is nothing to find.');
    data = await work({ item, data });
  }
  return data.digest;
}

/** One activity, then the others all at once. */
export async function baselineFanOut(steps: number): Promise<number> {
  const data = await ingest(0);
  const made = await Promise.all(
    Array.from({ length: steps }, async (_, item) => await work({ item, data })),
  );
  return made.length;
}

/** Five activities, then a wait for somebody: what the churn example does until its approval. */
export async function baselineApproval(): Promise<void> {
  let state = 'running';
  setHandler(defineQuery<{ readonly state: string }>('status'), () => ({ state }));
  let data = await ingest(0);
  for (let item = 1; item < 5; item++) data = await work({ item, data });
  state = 'waiting-for-approval';
  await condition(() => data.digest === '');
}
