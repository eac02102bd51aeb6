import type { SweepDeps } from '../activities/sweep.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { BuildManifest } from './build/build-manifest.js';

/** The part of a build that says who is told. */
interface RoutingBuild {
  readonly pipelines: readonly Pick<BuildManifest['pipelines'][number], 'name' | 'notify'>[];
}

/** What {@link createRoutes} stands on. */
export interface RoutesDeps {
  readonly readManifest: (digest: string) => Promise<RoutingBuild | undefined>;
  /** The build that new runs use. */
  readonly readCurrent: () => Promise<RoutingBuild | undefined>;
}

/** Who is told of a pipeline's runs: as the run's build says, else the current one, else the project. */
export function createRoutes(
  config: Pick<ProjectConfig, 'notify'>,
  { readManifest, readCurrent }: RoutesDeps,
): SweepDeps['routesOf'] {
  return async ({ pipeline, build = '' }) => {
    const inRun = build === '' ? undefined : findPipeline(await readManifest(build), pipeline);
    const found = inRun ?? findPipeline(await readCurrent(), pipeline);
    return { pipeline: found?.notify ?? {}, project: config.notify };
  };
}

function findPipeline(manifest: RoutingBuild | undefined, pipeline: string) {
  return manifest?.pipelines.find(({ name }) => name === pipeline);
}
