import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  bundleWorkflowCode,
  NativeConnection,
  Worker,
  type NativeConnectionOptions,
  type WorkerOptions,
} from '@temporalio/worker';
import type { RunSnapshot } from '../core/activities.js';
import { asActivities } from '../activities/as-activities.js';
import { createPipelineActivities } from '../activities/pipelines.js';
import { createPayloadCodec } from '../adapters/payload-codec.js';
import { poolsForHost, poolSlots } from '../config/host-pools.js';
import { projectPaths } from '../config/project-paths.js';
import { AnnealError } from '../core/failures.js';
import { controlTaskQueue, pipelinesTaskQueue, processPoolTaskQueue, systemTaskQueue } from '../core/run.js';
import { BUILD_FILES, type Build } from './build/build-manifest.js';
import { listBuilds, loadBuild } from './build/load-build.js';
import { followCurrent } from './current-build.js';
import { hasOpenRuns, makeVersionCurrent } from './deployment.js';
import { keepEndingOrphans } from './end-orphans.js';
import { composeActivities, hostCores, hostName, type WorkerSetting } from './compose-activities.js';

/** What {@link runProjectWorkers} takes. */
export interface ProjectWorkersOptions extends WorkerSetting {
  readonly connection: NativeConnectionOptions;
  readonly namespace: string;
  /** Pools whose steps run here; default: all. */
  readonly pools?: readonly string[];
  /** Aborted: stop taking work, leave attempts running, end. */
  readonly signal: AbortSignal;
  /** Called when the workers take work and the current build is the one that new runs use; again after each new build. */
  readonly onReady: (digest: string) => void;
  /** Events of history after which runs continue as new; for tests and benchmarks. */
  readonly continueAfterEvents?: number;
}

/** Workflows that a worker keeps in memory. */
const CACHED_WORKFLOWS = 200;
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
    const create = createFactory(options, connection, createPayloadCodec(activities.store));
    await group.add(await create.system(activities));
    await group.add(await create.control(activities));
    for (const pool of poolNames(options)) await group.add(await create.pool(pool, activities));
    await Promise.race([
      group.failed,
      keepEndingOrphans({ client: options.client, paths: projectPaths(options.config) }, options),
      hostBuilds(options, group, async (build) => await create.pipelines(build, activities)),
    ]);
  } finally {
    await group.stop();
    await connection.close();
  }
}

type Activities = ReturnType<typeof composeActivities>;

/** Workers that run and stop together. */
class WorkerGroup {
  private readonly running: Promise<void>[] = [];
  private readonly workers: Worker[] = [];
  /** Rejects when a worker ends by an error. */
  readonly failed: Promise<never>;
  private fail: (error: unknown) => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => undefined);
    signal.addEventListener('abort', () => this.shutdown(), { once: true });
  }

  async add(worker: Worker): Promise<void> {
    this.workers.push(worker);
    const run = worker.run();
    run.catch(this.fail);
    this.running.push(run);
    return await Promise.resolve();
  }

  async stop(): Promise<void> {
    this.shutdown();
    await Promise.allSettled(this.running);
  }

  private shutdown(): void {
    for (const worker of this.workers) if (worker.getState() === 'RUNNING') worker.shutdown();
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

function createFactory(
  options: ProjectWorkersOptions,
  connection: NativeConnection,
  codec: ReturnType<typeof createPayloadCodec>,
) {
  const { config } = options;
  const common: Pick<
    WorkerOptions,
    | 'connection'
    | 'namespace'
    | 'dataConverter'
    | 'maxHeartbeatThrottleInterval'
    | 'defaultHeartbeatThrottleInterval'
    | 'shutdownForceTime'
  > = {
    connection,
    namespace: options.namespace,
    dataConverter: { payloadCodecs: [codec] },
    maxHeartbeatThrottleInterval: '2s',
    defaultHeartbeatThrottleInterval: '1s',
    shutdownForceTime: '20s',
  };
  return {
    system: async ({ system }: Activities) =>
      await Worker.create({
        ...common,
        taskQueue: systemTaskQueue(config.project),
        workflowBundle: await systemBundle(),
        activities: asActivities(system),
        maxCachedWorkflows: CACHED_WORKFLOWS,
      }),
    control: async ({ pool: { endAttempt } }: Activities) =>
      await Worker.create({
        ...common,
        taskQueue: controlTaskQueue(config.project, hostName()),
        activities: asActivities({ endAttempt }),
      }),
    pool: async (name: string, { pool: { executeAttempt } }: Activities) =>
      await Worker.create({
        ...common,
        taskQueue: processPoolTaskQueue(config.project, name, hostName()),
        activities: asActivities({ executeAttempt }),
        maxConcurrentActivityTaskExecutions: poolSlots(config, name, { cores: hostCores() }),
      }),
    pipelines: async (build: Build, { cache }: Activities) =>
      await Worker.create({
        ...common,
        taskQueue: pipelinesTaskQueue(config.project),
        workflowBundle: { codePath: path.join(build.dir, BUILD_FILES.workflows) },
        activities: asActivities(
          createPipelineActivities({
            snapshot: createSnapshot(options, build),
            cache,
            tasks: await loadTasks(build),
          }),
        ),
        maxCachedWorkflows: CACHED_WORKFLOWS,
        workerDeploymentOptions: {
          useWorkerVersioning: true,
          version: { deploymentName: config.project, buildId: build.digest },
          defaultVersioningBehavior: 'PINNED',
        },
      }),
  };
}

function createSnapshot(options: ProjectWorkersOptions, build: Build): () => Promise<RunSnapshot> {
  const { config, services } = options;
  const { steps } = build.manifest;
  const snapshot: RunSnapshot = {
    project: config.project,
    build: build.digest,
    pools: poolsForHost(config, { name: hostName() }),
    codeDigests: Object.fromEntries(steps.map((step) => [step.name, step.codeDigest])),
    pythonDigests: Object.fromEntries(
      steps.flatMap((step) => (step.pythonDigest === undefined ? [] : [[step.name, step.pythonDigest]])),
    ),
    tracked: services.trackingUri !== undefined,
    ...(services.temporalUiUrl === undefined ? {} : { temporalUiUrl: services.temporalUiUrl }),
    ...(services.trackingUri === undefined ? {} : { trackingUiUrl: services.trackingUri }),
    ...(options.continueAfterEvents === undefined
      ? {}
      : { continueAfterEvents: options.continueAfterEvents }),
  };
  return async () => await Promise.resolve(snapshot);
}

async function loadTasks(build: Build): Promise<{ readonly [name: string]: unknown }> {
  if (build.manifest.tasks.length === 0) return {};
  return (await import(pathToFileURL(path.join(build.dir, BUILD_FILES.activities)).href)) as {
    readonly [name: string]: unknown;
  };
}

/** The bundle of Anneal's own workflows: made with the package, else on the spot. */
async function systemBundle(): Promise<{ readonly code: string }> {
  const made = fileURLToPath(new URL('../workflows/system-bundle.js', import.meta.url));
  try {
    return { code: await readFile(made, 'utf8') };
  } catch {
    return await bundleWorkflowCode({
      workflowsPath: fileURLToPath(new URL('../workflows/system.js', import.meta.url)),
    });
  }
}
