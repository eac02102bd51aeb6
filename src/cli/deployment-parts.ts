import { AnnealError } from '../core/failures.js';
import type { Build } from '../workers/build/build-manifest.js';
import type { DeployDeps } from '../workers/deploy-build.js';
import type { Project } from './context.js';

/** What deploying stands on, for workers that read builds where this machine writes them. */
export async function deploymentParts(
  project: Project,
  { signal, nowMs }: Pick<DeployDeps, 'signal' | 'nowMs'>,
): Promise<DeployDeps> {
  const { buildsDir } = project.paths;
  const [{ readRouting, writeRouting }, { readServerRouting }, { client }] = await Promise.all([
    import('../workers/current-build.js'),
    import('../workers/deployment.js'),
    project.temporal(),
  ]);
  return {
    signal,
    nowMs,
    readServerRouting: async () => await readServerRouting(client, project.config.project),
    place: {
      // It was built where the workers read.
      ship: async () => await Promise.resolve(),
      readRouting: async () => await readRouting(buildsDir),
      writeRouting: async (routing) =>
        await project.stack.inTurn(async () => await writeRouting(buildsDir, routing)),
    },
  };
}

/** The build of this machine whose digest begins so. @throws AnnealError InvalidCommand where there is none, or more than one. */
export async function findBuild({ paths }: Project, digest: string): Promise<Build> {
  const { listBuilds } = await import('../workers/build/load-build.js');
  const builds = await listBuilds(paths.buildsDir);
  const [found, ...others] = builds.filter((build) => build.digest.startsWith(digest));
  if (found && others.length === 0) return found;
  const known = builds.slice(0, 5).map((build) => build.digest.slice(0, 12));
  throw new AnnealError(
    'InvalidCommand',
    found
      ? `${others.length + 1} builds of this machine begin with "${digest}"; give more characters.`
      : `No build of this machine begins with "${digest}"; the newest are ${known.join(', ') || 'none'}.`,
  );
}

/** A digest as people see it. */
export function shortBuild(digest: string): string {
  return digest.slice(0, 12);
}
