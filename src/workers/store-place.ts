import type { BuildPlace } from './deploy-build.js';
import { shipBuild, type RemovalPatience } from './ship-build.js';
import { changeRouting, readDeployments, type DeploymentPlace } from './store-deployments.js';
import type { ArtifactStore } from '../core/artifact-store.js';

/** The store as the place of builds, for workers on any machine. */
export function createStorePlace(
  place: DeploymentPlace & { readonly store: ArtifactStore },
  {
    nowMs,
    by,
    removal,
  }: { readonly nowMs: () => number; readonly by?: string; readonly removal?: RemovalPatience },
): BuildPlace {
  return {
    advice:
      'A worker that takes builds from the store does it within seconds, or says in its log why not; start one with: anneal worker',
    ship: async (build) => await shipBuild(place.store, build, removal),
    readRouting: async () => (await readDeployments(place, nowMs())).routing,
    changeRouting: async (change) =>
      await changeRouting(place, change, { nowMs: nowMs(), ...(by === undefined ? {} : { by }) }),
  };
}
