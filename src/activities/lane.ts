import type { SystemActivities } from '../core/activities.js';
import type { AdmissionRequest } from '../core/admission.js';
import type { LaneRequest } from '../core/registry.js';
import type { Executions } from './ports/executions.js';

/** What {@link createLaneActivities} is made of. */
export interface LaneActivityDeps {
  /** Signal-with-start of the workflow of a model's lane. */
  readonly signalLane: (request: LaneRequest) => Promise<void>;
  /** The same for a request that is taken back. */
  readonly withdrawFromLane: (request: Pick<LaneRequest, 'modelName' | 'requestId'>) => Promise<void>;
  /** Signal-with-start of the workflow that admits the runs of a pipeline. */
  readonly signalAdmission: (request: AdmissionRequest) => Promise<void>;
  readonly executions: Executions;
}

/** The part of {@link SystemActivities} that reaches Anneal's own workflows. */
export function createLaneActivities(
  deps: LaneActivityDeps,
): Pick<SystemActivities, 'submitToLane' | 'withdrawFromLane' | 'submitToAdmission' | 'findClosedRuns'> {
  return {
    submitToLane: async (request) => await deps.signalLane(request),
    withdrawFromLane: async (request) => await deps.withdrawFromLane(request),
    submitToAdmission: async (request) => await deps.signalAdmission(request),
    findClosedRuns: async (tickets) => {
      const closed = await Promise.all(
        tickets.map(async ({ workflowId, executionId }) =>
          (await deps.executions.isChainClosed({ workflowId, executionId })) ? [executionId] : [],
        ),
      );
      return closed.flat();
    },
  };
}
