import type { SystemActivities } from '../core/activities.js';
import type { LaneRequest } from '../core/registry.js';

/** What {@link createLaneActivities} is made of. */
export interface LaneActivityDeps {
  /** Signal-with-start of the workflow of a model's lane. */
  readonly signalLane: (request: LaneRequest) => Promise<void>;
}

/** The part of {@link SystemActivities} that reaches a model's lane. */
export function createLaneActivities(deps: LaneActivityDeps): Pick<SystemActivities, 'submitToLane'> {
  return { submitToLane: async (request) => await deps.signalLane(request) };
}
