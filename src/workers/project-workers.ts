import { setTimeout as wait } from 'node:timers/promises';
import { NativeConnection, type NativeConnectionOptions, type Worker } from '@temporalio/worker';
import { sweepUploads } from '../adapters/open-store.js';
import { sweepLeftovers } from '../adapters/process-executor/sweep-leftovers.js';
import { clusterPools } from '../config/host-pools.js';
import { projectPaths } from '../config/project-paths.js';
import { AnnealError } from '../core/failures.js';
import { isS3Uri } from '../core/store-location.js';
import type { Build } from './build/build-manifest.js';
import { createDirectorySource, type BuildSource } from './build-source.js';
import { checkSearchAttributes } from './check-search-attributes.js';
import { composeActivities } from './compose-activities.js';
import { createWorkerFactory, type WorkerFactoryOptions } from './create-workers.js';
import type { Routing } from './current-build.js';
import { countOpenRunsOutside, hasOpenRuns, listOpenBuildsOutside, routeNewRuns } from './deployment.js';
import { keepEndingOrphans } from './end-orphans.js';
import { createBuildHost, type BuildHost } from './host-builds.js';
import { loadHostName } from './host-name.js';
import { keepSweeper } from './keep-sweeper.js';
import { announceServedPools, readServedPools } from './served-pools.js';
import { openCluster, type Cluster } from './open-cluster.js';
import { openStore, requireStore } from './open-store.js';
import { keepReaping } from './reap-jobs.js';
import { createStoreSource } from './store-source.js';
import { WorkerGroup } from './worker-group.js';

/** Stands among the names of pools for pipelines, tasks and Anneal's own workflows. */
const PIPELINES = 'pipelines';

/** What {@link runProjectWorkers} takes. */
export interface ProjectWorkersOptions extends Omit<WorkerFactoryOptions, 'host' | 'servedPools'> {
  readonly connection: NativeConnectionOptions;
  /** Pools whose steps run here, and {@link PIPELINES} where pipelines and Anneal's own workflows run here, too; default: all of it. */
  readonly pools?: readonly string[];
  /** Aborted: stop taking work, leave attempts running, end. */
  readonly signal: AbortSignal;
  /** Called when the workers take work and the current build is the one that new runs use; again after each new build. */
  readonly onReady: (digest: string) => void;
  /** Called when what it serves takes work; that of pipelines as soon as there is a build. */
  readonly onServing?: () => void;
}

/**
 * Runs the workers of a project on this machine until `signal` aborts: pools, Anneal's own workflows, and one pipelines worker for the
 * current build and for each older one that has open runs. A build that becomes current meanwhile gets its worker without a restart, and
 * one that nothing runs on any more loses its.
 */
export async function runProjectWorkers(options: ProjectWorkersOptions): Promise<void> {
  // Before anything of Temporal's is made, which warns and takes time.
  const chosen = chooseParts(options);
  const { cluster, pools } = await reachCluster(options, chosen.pools);
  try {
    await serveParts(options, { pools, pipelines: chosen.pipelines, ...(cluster && { cluster }) });
  } finally {
    await cluster?.close();
  }
}

/** What a worker serves. */
interface ServedParts {
  readonly pools: readonly string[];
  readonly pipelines: boolean;
  readonly cluster?: Cluster;
}

async function serveParts(
  options: ProjectWorkersOptions,
  { pools, pipelines, cluster }: ServedParts,
): Promise<void> {
  const { attemptsDir, stateDir, store } = projectPaths(options.config);
  const place = { stateDir, host: await loadHostName(stateDir, options.env) };
  await announceServedPools(place, pools, options.signal);
  const connection = await NativeConnection.connect(options.connection);
  const group = new WorkerGroup(options.signal);
  let settle: (() => Promise<void>) | undefined;
  try {
    await checkSearchAttributes(connection.operatorService, options);
    await requireStore(options.config.store, options.log);
    const activities = composeActivities({ ...options, ...(cluster && { cluster }) });
    settle = activities.settle;
    void sweepLeftovers({ attemptsDir, ...(isS3Uri(store.root) ? {} : { storeDir: store.root }) }).catch(
      () => undefined,
    );
    void sweepUploads(store, Date.now()).catch(() => undefined);
    const servedPools = async () => await readServedPools(place, Date.now());
    const create = createWorkerFactory({ ...options, host: place.host, servedPools }, connection, activities);
    if (pipelines) group.add(await create.system());
    group.add(await create.control('host'));
    if (cluster) group.add(await create.control('cluster'));
    for (const pool of pools) group.add(await create.pool(pool));
    options.onServing?.();
    await Promise.race([
      group.failed,
      keepEndingOrphans({ client: options.client, paths: projectPaths(options.config) }, options),
      ...(cluster
        ? [keepReaping({ ...cluster, client: options.client, jobs: () => cluster.watcher.jobs() }, options)]
        : []),
      ...(pipelines ? [keepSweeper(options.client, options.config.project, options)] : []),
      pipelines
        ? hostBuilds(options, group, create.pipelines)
        : openBuildSource(options).follow(options.signal, async ({ routing }) => {
            if (routing) await Promise.resolve(options.onReady(routing.current));
          }),
    ]);
  } finally {
    await group.stop();
    await settle?.();
    await connection.close();
  }
}

/**
 * The cluster of the pools that are on Kubernetes. A machine that reaches none serves the others, unless it was told which.
 * @throws AnnealError InvalidConfig
 */
async function reachCluster(options: ProjectWorkersOptions, pools: readonly string[]) {
  const onCluster = clusterPools(options.config).filter((name) => pools.includes(name));
  if (onCluster.length === 0) return { pools };
  try {
    const cluster = await openCluster(options);
    return { pools, ...(cluster && { cluster }) };
  } catch (error) {
    if (options.pools !== undefined) throw error;
    const said = error instanceof Error ? error.message : String(error);
    options.log(`does not serve ${onCluster.join(', ')}: ${said}`);
    return { pools: pools.filter((name) => !onCluster.includes(name)) };
  }
}

async function hostBuilds(
  options: ProjectWorkersOptions,
  group: WorkerGroup,
  create: (build: Build) => Promise<Worker>,
): Promise<void> {
  const { client, log, signal } = options;
  const { project } = options.config;
  const source = openBuildSource(options, (digest) => host.hosts(digest));
  const host: BuildHost = createBuildHost({
    log,
    nowMs: () => performance.now(),
    where: source.name,
    listBuilds: async (hosted) =>
      await source.listOlder(async () => await listOpenBuildsOutside(client, project, hosted)),
    countOpenRunsOutside: async (digests) => await countOpenRunsOutside(client, project, digests),
    hasOpenRuns: async (digest) => await hasOpenRuns(client, { project, digest }),
    start: async (build) => {
      const worker = await create(build);
      group.add(worker);
      return () => group.retire(worker);
    },
  });
  let tending: Promise<void> | undefined;
  await source.follow(signal, async ({ routing, wanted }) => {
    await host.hostTried(await loadTried(source, wanted, log));
    if (routing) {
      const ramp = await loadRamp(source, routing, log);
      const current = await source.load(routing.current);
      await host.hostWanted([current, ...(ramp ? [ramp] : [])]);
      const { ramp: asked, ...plain } = routing;
      await routeNewRuns(client, project, ramp && asked ? routing : plain);
    }
    await tendQuietly(host, log);
    tending ??= keepTending(host, options);
    if (routing) options.onReady(routing.current);
  });
  await tending;
}

function openBuildSource(
  { config, client, log }: ProjectWorkersOptions,
  isHosted: (digest: string) => boolean = () => false,
): BuildSource {
  const { buildsDir } = projectPaths(config);
  if (config.builds === 'directory') return createDirectorySource(buildsDir);
  const { project } = config;
  return createStoreSource({
    ...{ store: openStore(config), project, buildsDir, log },
    nowMs: () => Date.now(),
    hasOpenRuns: async (digest) => await hasOpenRuns(client, { project, digest }),
    isHosted,
  });
}

/** Builds that somebody tries. One that cannot be had harms nothing else. */
async function loadTried(
  source: BuildSource,
  digests: readonly string[],
  log: (message: string) => void,
): Promise<Build[]> {
  const builds: Build[] = [];
  for (const digest of digests)
    await source.load(digest).then(
      (build) => builds.push(build),
      (error: unknown) => {
        if (error instanceof AnnealError && error.code === 'StoreUnavailable') throw error;
        log(`build ${digest.slice(0, 12)} cannot be tried here: ${String(error)}`);
      },
    );
  return builds;
}

/** The build that takes a share of new runs. One that is not here takes none, and harms nothing else. */
async function loadRamp(
  source: BuildSource,
  { ramp }: Routing,
  log: (message: string) => void,
): Promise<Build | undefined> {
  if (ramp === undefined) return undefined;
  try {
    return await source.load(ramp.digest);
  } catch (error) {
    if (error instanceof AnnealError && error.code === 'StoreUnavailable') throw error;
    log(`no ramp: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** A run that was taken up with the build of an older one waits no longer than this for a worker of it. */
const TEND_MS = 15_000;

/** Looks after the builds until the signal: a call of the server, and one for each older build that is hosted. */
async function keepTending(
  host: BuildHost,
  { signal, log }: Pick<ProjectWorkersOptions, 'signal' | 'log'>,
): Promise<void> {
  for (;;) {
    await wait(TEND_MS, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    await tendQuietly(host, log);
  }
}

async function tendQuietly(host: BuildHost, log: (message: string) => void): Promise<void> {
  try {
    await host.tend();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    log(`could not look for open runs of older builds: ${said}`);
  }
}

/** What a worker serves: all, or the pools that were named. @throws AnnealError InvalidConfig for a pool that anneal.yaml does not have. */
export function chooseParts(options: Pick<ProjectWorkersOptions, 'config' | 'pools'>): {
  readonly pools: readonly string[];
  readonly pipelines: boolean;
} {
  const known = Object.keys(options.config.pools);
  const named = options.pools;
  if (named === undefined) return { pools: known, pipelines: true };
  const unknown = named.find((name) => name !== PIPELINES && !known.includes(name));
  if (unknown !== undefined)
    throw new AnnealError(
      'InvalidConfig',
      `There is no pool "${unknown}" in anneal.yaml; it has ${known.map((name) => `"${name}"`).join(', ')}.`,
    );
  return { pools: named.filter((name) => known.includes(name)), pipelines: named.includes(PIPELINES) };
}
