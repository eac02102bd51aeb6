import { AnnealError } from '../core/failures.js';
import type { Build } from '../workers/build/build-manifest.js';
import type { CommandContext } from './command.js';
import type { Project } from './context.js';

/**
 * The build of the code as it is, for workers of the cluster to try.
 * @throws AnnealError InvalidCommand where they do not take builds from the store; BuildFailed.
 */
export async function buildTrial(
  { terminal }: Pick<CommandContext, 'terminal'>,
  project: Project,
): Promise<Build> {
  const { config } = project;
  if (config.builds !== 'store')
    throw new AnnealError(
      'InvalidCommand',
      config.temporal.address === undefined
        ? '--remote is for workers on other machines, and Temporal is local here. Leave it out, or set TEMPORAL_ADDRESS and "builds: store" in anneal.yaml.'
        : '--remote needs workers that take builds from the store. Set "builds: store" in anneal.yaml, here and for the workers.',
    );
  const build = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  for (const warning of build.warnings) terminal.error(terminal.colors.yellow(warning));
  return build;
}

/**
 * Lets the project's workers host a build for a while without making it current, and waits until one does: a run that is pinned to it changes
 * nobody else's.
 * @throws AnnealError WorkerUnavailable.
 */
export async function hostBuild(
  { config, paths, temporal }: Project,
  build: Build,
  { signal, nowMs }: { readonly signal: AbortSignal; readonly nowMs: () => number },
): Promise<void> {
  const [{ hostForTrial }, { shipBuild }, { wantBuild }, { listHostedBuilds }, { openStore }, { client }] =
    await Promise.all([
      import('../workers/try-build.js'),
      import('../workers/ship-build.js'),
      import('../workers/store-deployments.js'),
      import('../workers/deployment.js'),
      import('../workers/open-store.js'),
      temporal(),
    ]);
  const store = openStore(paths);
  const { project } = config;
  await hostForTrial(
    {
      ship: async (shipped) => await shipBuild(store, shipped),
      want: async (digest) => await wantBuild({ store, project }, digest, nowMs()),
      listHosted: async () => await listHostedBuilds(client, project, nowMs()),
      ...{ signal, nowMs },
    },
    build,
  );
}
