import type { WorkflowExecutionDescription } from '@temporalio/client';
import { AnnealError } from '../core/failures.js';
import { nearestName } from '../core/nearest-name.js';
import type { ClientDeps } from './client-deps.js';
import { listRuns } from './list-runs.js';
import { callTemporal } from './temporal-errors.js';

/** Runs that a wrong id is compared with: the open ones, then the newest. */
const COMPARED = 200;

/** What the server says of a run. @throws AnnealError RunNotFound, with the run that was probably meant; ServerUnreachable. */
export async function describeRun(deps: ClientDeps, runId: string): Promise<WorkflowExecutionDescription> {
  try {
    return await callTemporal(deps, `run "${runId}"`, () =>
      deps.temporal.workflow.getHandle(runId).describe(),
    );
  } catch (error) {
    if (!(error instanceof AnnealError) || error.code !== 'RunNotFound') throw error;
    const runs = await listRuns(deps, { limit: COMPARED }).catch(() => []);
    const near = nearestName(
      runId,
      runs.map((run) => run.runId),
    );
    if (near === undefined) throw error;
    throw new AnnealError('RunNotFound', `There is no run "${runId}". Did you mean "${near}"?`, {
      cause: error,
    });
  }
}
