import { AnnealError } from '../core/failures.js';
import type { Build } from '../workers/build/build-manifest.js';
import type { BuildPlace, DeployDeps } from '../workers/deploy-build.js';
import type { CommandContext } from './command.js';
import type { Project } from './context.js';
import { userName } from './user-name.js';

/** What deploying stands on: the directory that workers share with this machine, or the store. */
export async function deploymentParts(
  project: Project,
  { signal, nowMs, env }: Pick<DeployDeps, 'signal' | 'nowMs'> & Pick<CommandContext, 'env'>,
): Promise<DeployDeps> {
  const [{ readServerRouting }, { client }, place] = await Promise.all([
    import('../workers/deployment.js'),
    project.temporal(),
    openBuildPlace(project, { nowMs, env }),
  ]);
  return {
    signal,
    nowMs,
    readServerRouting: async () => await readServerRouting(client, project.config.project),
    place,
  };
}

async function openBuildPlace(
  { config, paths, stack }: Project,
  { nowMs, env }: Pick<CommandContext, 'nowMs' | 'env'>,
): Promise<BuildPlace> {
  if (config.builds === 'store') {
    const [{ createStorePlace }, { openStore }] = await Promise.all([
      import('../workers/store-place.js'),
      import('../workers/open-store.js'),
    ]);
    const place = { store: openStore(paths), project: config.project };
    return createStorePlace(place, { nowMs, by: userName(env) });
  }
  const { readRouting, writeRouting } = await import('../workers/current-build.js');
  return {
    advice: 'A worker that reads the same builds does it as soon as it runs; start one with: anneal up',
    // It was built where the workers read.
    ship: async () => await Promise.resolve(),
    readRouting: async () => await readRouting(paths.buildsDir),
    changeRouting: async (change) =>
      await stack.inTurn(async () => {
        const routing = change(await readRouting(paths.buildsDir));
        await writeRouting(paths.buildsDir, routing);
        return routing;
      }),
  };
}

/** The build whose digest begins so: of this machine, or of the store. @throws AnnealError InvalidCommand where there is none, or more than one. */
export async function findBuild({ config, paths }: Project, digest: string): Promise<Build> {
  const { listBuilds } = await import('../workers/build/load-build.js');
  const builds = await listBuilds(paths.buildsDir);
  const found = new Set(builds.flatMap((build) => (build.digest.startsWith(digest) ? [build.digest] : [])));
  const where = config.builds === 'store' ? 'in the store or on this machine' : 'of this machine';
  if (config.builds === 'store') {
    const [{ listStoredBuilds }, { openStore }] = await Promise.all([
      import('../workers/stored-builds.js'),
      import('../workers/open-store.js'),
    ]);
    for (const stored of await listStoredBuilds(openStore(paths), digest))
      if (stored.whole) found.add(stored.digest);
  }
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0)
    return (
      builds.find((build) => build.digest === only) ??
      (await (await import('./stored-build.js')).fetchStoredBuild(paths, only))
    );
  const known = builds.slice(0, 5).map((build) => build.digest.slice(0, 12));
  throw new AnnealError(
    'InvalidCommand',
    only === undefined
      ? `No build ${where} begins with "${digest}"; the newest here are ${known.join(', ') || 'none'}.`
      : `${others.length + 1} builds ${where} begin with "${digest}"; give more characters.`,
  );
}

/** A digest as people see it. */
export function shortBuild(digest: string): string {
  return digest.slice(0, 12);
}
