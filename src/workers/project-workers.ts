import { NativeConnection, type NativeConnectionOptions, type Worker } from '@temporalio/worker';
import { projectPaths } from '../config/project-paths.js';
import { AnnealError } from '../core/failures.js';
import type { Build } from './build/build-manifest.js';
import { listBuilds, loadBuild } from './build/load-build.js';
import { composeActivities } from './compose-activities.js';
import { createWorkerFactory, type WorkerFactoryOptions } from './create-workers.js';
import { followCurrent } from './current-build.js';
import { hasOpenRuns, makeVersionCurrent } from './deployment.js';
import { keepEndingOrphans } from './end-orphans.js';
import { loadHostName } from './host-name.js';
import { WorkerGroup } from './worker-group.js';

/** What {@link runProjectWorkers} takes. */
export interface ProjectWorkersOptions extends Omit<WorkerFactoryOptions, 'host'> {
  readonly connection: NativeConnectionOptions;
  /** Pools whose steps run here; default: all. */
  readonly pools?: readonly string[];
  /** Aborted: stop taking work, leave attempts running, end. */
  readonly signal: AbortSignal;
  /** Called when the workers take work and the current build is the one that new runs use; again after each new build. */
  readonly onReady: (digest: string) => void;
}

/** Older builds that are looked at for open runs. */
const OLDER_BUILDS = 20;

/**
 * Runs the workers of a project on this machine until `signal` aborts: pools, Anneal's own workflows, and one pipelines worker for the
 * current build and for each older one that has open runs. A build that becomes current meanwhile gets its worker without a restart.
 */
export async function runProjectWorkers(options: ProjectWorkersOptions): Promise<void> {
  const connection = await NativeConnection.connect(options.connection);
  const group = new WorkerGroup(options.signal);
  try {
    const activities = composeActivities(options);
    const host = await loadHostName(projectPaths(options.config).stateDir, options.env);
    const create = createWorkerFactory({ ...options, host }, connection, activities);
    await group.add(await create.system());
    await group.add(await create.control());
    for (const pool of poolNames(options)) await group.add(await create.pool(pool));
    await Promise.race([
      group.failed,
      keepEndingOrphans({ client: options.client, paths: projectPaths(options.config) }, options),
      hostBuilds(options, group, create.pipelines),
    ]);
  } finally {
    await group.stop();
    await connection.close();
  }
}

async function hostBuilds(
  options: ProjectWorkersOptions,
  group: WorkerGroup,
  create: (build: Build) => Promise<Worker>,
): Promise<void> {
  const { buildsDir } = projectPaths(options.config);
  const { project } = options.config;
  const hosted = new Set<string>();
  const host = async (build: Build) => {
    if (hosted.has(build.digest)) return;
    hosted.add(build.digest);
    await group.add(await create(build));
  };
  const hostOlder = async () => {
    for (const build of (await listBuilds(buildsDir)).slice(0, OLDER_BUILDS))
      if (!hosted.has(build.digest) && (await hasOpenRuns(options.client, { project, digest: build.digest })))
        await host(build);
  };
  let first = true;
  await followCurrent(buildsDir, options.signal, async (digest) => {
    await host(await loadBuild(buildsDir, digest));
    await makeVersionCurrent(options.client, { project, digest });
    if (first) await hostOlder();
    first = false;
    options.onReady(digest);
  });
}

function poolNames(options: ProjectWorkersOptions): readonly string[] {
  const known = Object.keys(options.config.pools);
  const unknown = options.pools?.find((pool) => !known.includes(pool));
  if (unknown !== undefined)
    throw new AnnealError(
      'InvalidConfig',
      `There is no pool "${unknown}" in anneal.yaml; it has ${known.map((name) => `"${name}"`).join(', ')}.`,
    );
  return options.pools ?? known;
}
