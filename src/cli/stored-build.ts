import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import { AnnealError } from '../core/failures.js';
import type { Build } from '../workers/build/build-manifest.js';
import { fetchBuild } from '../workers/fetch-build.js';
import { openStore } from '../workers/open-store.js';
import { readDeployments } from '../workers/store-deployments.js';

/** A build of the store, put where those of this machine are. @throws AnnealError BuildFailed, StoreUnavailable. */
export async function fetchStoredBuild(paths: ProjectPaths, digest: string): Promise<Build> {
  return await fetchBuild({ store: openStore(paths), buildsDir: paths.buildsDir }, digest);
}

/** The build that new runs use, as the store says. @throws AnnealError InvalidInput before the first deployment. */
export async function fetchCurrentBuild({ project }: ProjectConfig, paths: ProjectPaths): Promise<Build> {
  const { routing } = await readDeployments({ store: openStore(paths), project }, Date.now());
  if (routing !== undefined) return await fetchStoredBuild(paths, routing.current);
  throw new AnnealError(
    'InvalidInput',
    `Nothing of project "${project}" was deployed to its store yet. Deploy the code with: anneal deploy`,
  );
}
