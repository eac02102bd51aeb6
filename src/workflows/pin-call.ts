import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import type { ArtifactRef } from '../core/artifacts.js';
import { datasetUriProblem } from '../core/pinned-data.js';
import { formatBytes } from '../core/quantity.js';
import { systemTaskQueue } from '../core/run.js';
import { toFailure } from './failures.js';
import type { RunContext } from './run-context.js';
import { shown } from './shown-call.js';

/** Time that reading a dataset may take where nothing but its bytes tells it from another. */
const READ_MS = 12 * 3_600_000;
/** Tries of a place that does not answer: some five minutes. */
const TRIES = 10;

/** Pins a dataset outside the store, once for the run: the journal keeps the answer. */
export async function pinDataset(
  context: RunContext,
  name: string,
  uri: string,
): Promise<ArtifactRef<'Dataset', object>> {
  const problem = datasetUriProblem(uri);
  if (problem !== undefined)
    throw toFailure(
      'InvalidInput',
      `The URI of dataset "${name}" is "${uri.slice(0, 200)}"; it must be ${problem}.`,
    );
  return await shown(context, { kind: 'dataset', name, input: uri }, async (call) => {
    await call.begin();
    const { pinDataset: pin } = proxyActivities<SystemActivities>({
      taskQueue: systemTaskQueue(context.snapshot.project),
      startToCloseTimeout: READ_MS,
      heartbeatTimeout: '20s',
      retry: { maximumInterval: '1m', maximumAttempts: TRIES },
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `pin ${name}`.slice(0, 200),
    });
    const value = await pin({ uri, executionId: context.view.executionId });
    return { value, detail: `${formatBytes(value.sizeBytes)} ${value.digest.slice(0, 12)}` };
  });
}
