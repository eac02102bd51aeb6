import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { createAnnounceApproval } from '../activities/announce-approval.js';
import { createBackfillActivities } from '../activities/backfill.js';
import { createPoolActivities } from '../activities/attempt.js';
import { createLineageWriter } from '../activities/lineage.js';
import { createLaneActivities } from '../activities/lane.js';
import { createPinDataset } from '../activities/pin-dataset.js';
import type { Clock } from '../activities/ports/activity-context.js';
import type { AttemptExecutor } from '../activities/ports/executor.js';
import { createRegistryActivities, readChampion } from '../activities/registry.js';
import { createStepCache } from '../activities/step-cache.js';
import { createStepTracking } from '../activities/tracking-step.js';
import { createTrackingActivities } from '../activities/tracking.js';
import { readActivityContext } from '../activities/tracking-context.js';
import { userCacheDirectory } from '../adapters/cache-directory.js';
import { createExternalData } from '../adapters/external-data/create-external-data.js';
import { findPython } from '../adapters/find-python.js';
import { createGpuInventory, gpuLeasesDirectory } from '../adapters/gpu-leases.js';
import { createImageRegistry } from '../adapters/image-registry/create-image-registry.js';
import { connectMlflow } from '../adapters/mlflow/connect.js';
import { createNoopExecutor } from '../adapters/noop-executor.js';
import { createProcessExecutor } from '../adapters/process-executor/create-process-executor.js';
import { openStore } from '../adapters/open-store.js';
import { ensurePythonEnvironment } from '../adapters/python-environment.js';
import { runProgram } from '../adapters/run-program.js';
import type { ProjectConfig } from '../config/project-config.js';
import { projectPaths } from '../config/project-paths.js';
import type { PoolActivities, SystemActivities } from '../core/activities.js';
import {
  ADMISSION_ENTER,
  ADMISSION_WORKFLOW,
  admissionWorkflowId,
  type AdmissionRequest,
} from '../core/admission.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { ATTEMPT_BEGAN } from '../core/budget.js';
import { AnnealError } from '../core/failures.js';
import {
  LANE_SUBMIT,
  LANE_WITHDRAW,
  LANE_WORKFLOW,
  laneWorkflowId,
  type LaneRequest,
} from '../core/registry.js';
import { systemTaskQueue } from '../core/run.js';
import { codeOf } from './build/build-code.js';
import type { BuiltStep } from './build/build-manifest.js';
import { composeTelling } from './compose-telling.js';
import { createExecutions } from './executions.js';
import { createClusterExecutor, type Cluster } from './open-cluster.js';
import { createPartitionDirectory } from './partition-directory.js';
import { createEnsureBuild, readStoredManifest } from './fetch-build.js';
import { openReadCode } from './read-code.js';
import { openMlflowArtifacts } from './mlflow-artifacts.js';
import { createBuildManifests, createRoutedBuild } from './routed-build.js';
import { askSweeper, createWakeSweeper } from './wake-sweeper.js';

/** Where the services are. */
export interface Services {
  readonly temporalUiUrl?: string;
  /** Absent: runs are not tracked. */
  readonly trackingUri?: string;
}

/** What the workers of a project are made from. */
export interface WorkerSetting {
  readonly config: ProjectConfig;
  readonly services: Services;
  readonly client: Client;
  readonly env: NodeJS.ProcessEnv;
  readonly log: (message: string) => void;
  /** Absent: no pool of this worker is on Kubernetes. */
  readonly cluster?: Cluster;
}

const clock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => {
    await wait(ms, undefined, { signal });
  },
};

/** Cores of this machine. */
export function hostCores(): number {
  return cpus().length;
}

/** Puts the activities together: the one place where adapters meet their ports. */
export function composeActivities(setting: WorkerSetting) {
  const { log } = setting;
  const parts = connectParts(setting);
  const { store, context, executions, readCode, tracking } = parts;
  const { isHolderLive: isLive } = executions;
  /** The cache as the pipelines of a build ask it. */
  const stepCache = (steps: readonly BuiltStep[]) =>
    createStepCache({
      store,
      clock,
      isLive,
      log,
      codeFilesOf: (name) => steps.find((step) => step.name === name)?.codeFiles,
    });
  const lineage = createLineageWriter({ store, readCode, log });
  const pool: PoolActivities = createPoolActivities({
    executorOf: createExecutors(setting, store),
    cache: stepCache([]),
    lineage,
    executions,
    clock,
    context,
    tellBegan: async ({ workflowId, runId }, began) => {
      await setting.client.workflow.getHandle(workflowId, runId).signal(ATTEMPT_BEGAN, began);
    },
    ...(tracking && { tracking: createStepTracking({ ...tracking, store }) }),
  });
  const images = createImageRegistry({ env: setting.env });
  const system = composeSystem(setting, parts);
  return { store, stepCache, clock, pool, images, system, settle: async () => await lineage.settle() };
}

/** What activities of several kinds share. */
function connectParts({ config, services, client, env }: WorkerSetting) {
  const links = services.temporalUiUrl === undefined ? {} : { temporalUiUrl: services.temporalUiUrl };
  const { trackingUri } = services;
  const openArtifacts = openMlflowArtifacts(config, env);
  const mlflow =
    trackingUri === undefined ? undefined : connectMlflow({ trackingUri, env, clock, openArtifacts });
  const store = openStore(config.store);
  const readCode = openReadCode(config, store);
  const context = readActivityContext;
  return {
    store,
    executions: createExecutions(client),
    tracking: mlflow && { tracking: mlflow.tracking, clock, context, readCode, ...links },
    mlflow,
    readCode,
    context,
    links,
  };
}

function composeSystem(
  setting: WorkerSetting,
  { store, executions, tracking, mlflow, context, links }: ReturnType<typeof connectParts>,
): SystemActivities {
  const { config, client, log } = setting;
  const common = { store, clock, context };
  const scratchDir = path.join(projectPaths(config).stateDir, 'scratch');
  mkdirSync(scratchDir, { recursive: true });
  const registry = {
    ...untracked,
    ...(mlflow &&
      createRegistryActivities({ ...common, registry: mlflow.registry, scratchDir, log, ...links })),
  };
  const readManifest = createBuildManifests(
    projectPaths(config).buildsDir,
    config.builds === 'store' ? async (digest) => await readStoredManifest(store, digest) : undefined,
  );
  const readCurrent = createRoutedBuild(client, config.project, readManifest);
  const wake = createWakeSweeper({
    ...{ readCurrent, nowMs: clock.nowMs, log },
    ask: async () => await askSweeper(client, config.project),
  });
  const telling = composeTelling(setting, {
    ...{ ...common, readCurrent, readManifest, wake },
    readBuildCode: async (build) => {
      const found = await readManifest(build);
      return found && codeOf(found).code;
    },
    ...(mlflow && { tracking: mlflow.tracking, registry: mlflow.registry }),
  });
  return {
    ...registry,
    runLaneOperation: async (work) => {
      const result = await registry.runLaneOperation(work);
      if ('alias' in work.operation)
        await wake({ kind: 'alias', alias: `${work.modelName}@${work.operation.alias}` });
      return result;
    },
    ...(tracking && createTrackingActivities({ ...tracking, project: config.project })),
    ...telling,
    ...createBackfillActivities({
      ...{ ...common, project: config.project },
      partitions: createPartitionDirectory(client, async () => {
        const found = await readCurrent();
        return found && { digest: found.digest, pipelines: found.pipelines, ...codeOf(found) };
      }),
    }),
    ...createPinDataset({ ...common, data: createExternalData(config.data) }),
    ...createAnnounceApproval({
      ...{ context, notify: telling.notify },
      findChampion:
        mlflow && (({ name, alias }, signal) => readChampion(mlflow, { modelName: name, alias }, signal)),
    }),
    ...createLaneActivities({ ...createSystemSignals(client, config.project), executions }),
  };
}

/** System activities of a project without MLflow. */
const untracked: Pick<SystemActivities, 'openTracking' | 'runLaneOperation' | 'readChampion'> = {
  openTracking: async () => await refuse(),
  runLaneOperation: async () => await refuse(),
  readChampion: async () => await refuse(),
};

async function refuse(): Promise<never> {
  return await Promise.reject(
    new AnnealError(
      'InvalidConfig',
      'The project has no MLflow. Set mlflow.uri in anneal.yaml or MLFLOW_TRACKING_URI.',
    ),
  );
}

function createExecutors(setting: WorkerSetting, store: ArtifactStore): (pool: string) => AttemptExecutor {
  const { config, env } = setting;
  const paths = projectPaths(config);
  const install = { cacheDirectory: userCacheDirectory(env), env, run: runProgram, onProgress: setting.log };
  const noop = createNoopExecutor(clock);
  const processes = createProcessExecutor({
    store,
    attemptsDir: paths.attemptsDir,
    buildsDir: paths.buildsDir,
    ...(config.builds === 'store' && {
      ensureBuild: createEnsureBuild({ store, buildsDir: paths.buildsDir }),
    }),
    supervisorPath: fileURLToPath(new URL('../agent/supervisor.js', import.meta.url)),
    clock,
    env,
    gpus: createGpuInventory({ leasesDir: gpuLeasesDirectory(install.cacheDirectory), run: runProgram, env }),
    ensurePython: async ({ requirements, version }, { onProgress }) =>
      await ensurePythonEnvironment(
        {
          requirements,
          python: await findPython({ ...install, ...(version === undefined ? {} : { version }) }),
        },
        { ...install, onProgress: (line) => (setting.log(line), onProgress(line)) },
      ),
    ...(config.store.s3 === undefined ? {} : { s3: config.store.s3 }),
    data: config.data,
    ...(config.secrets === undefined ? {} : { secretsFile: config.secrets }),
    ...(config.mlflow.stepCredentials === undefined ? {} : { mlflowSecret: config.mlflow.stepCredentials }),
  });
  const jobs = setting.cluster && createClusterExecutor(setting, setting.cluster, store);
  return (name) => {
    const kind = config.pools[name]?.executor;
    if (kind === 'kubernetes') return jobs ?? refuseCluster(name);
    return kind === 'noop' ? noop : processes;
  };
}

function refuseCluster(pool: string): never {
  throw new AnnealError(
    'WorkerUnavailable',
    `Pool "${pool}" is on Kubernetes, and this worker does not serve it. Start one with "anneal worker --pools ${pool}" where the cluster is reached.`,
  );
}

/** How activities reach Anneal's own workflows: signals that start them where they do not run. */
function createSystemSignals(client: Client, project: string) {
  const send = async (
    to: { readonly type: string; readonly workflowId: string; readonly signal: string },
    argument: object | string,
  ) => {
    const { type, workflowId, signal } = to;
    await client.workflow.signalWithStart(type, {
      workflowId,
      taskQueue: systemTaskQueue(project),
      args: [],
      signal,
      signalArgs: [argument],
    });
  };
  return {
    signalLane: async (request: LaneRequest) =>
      await send(
        { type: LANE_WORKFLOW, workflowId: laneWorkflowId(request.modelName), signal: LANE_SUBMIT },
        request,
      ),
    withdrawFromLane: async ({ modelName, requestId }: Pick<LaneRequest, 'modelName' | 'requestId'>) =>
      await send(
        { type: LANE_WORKFLOW, workflowId: laneWorkflowId(modelName), signal: LANE_WITHDRAW },
        requestId,
      ),
    signalAdmission: async (request: AdmissionRequest) =>
      await send(
        {
          type: ADMISSION_WORKFLOW,
          workflowId: admissionWorkflowId(request.project, request.pipeline),
          signal: ADMISSION_ENTER,
        },
        request,
      ),
  };
}
