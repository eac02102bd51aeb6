import { verifySignature } from '../core/verify-signature.js';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleWorkflowCode, Worker, type NativeConnection } from '@temporalio/worker';
import type { ApproverDirectory } from '../activities/approvers.js';
import { asActivities } from '../activities/as-activities.js';
import { createPipelineActivities } from '../activities/pipelines.js';
import { readActivityContext } from '../activities/tracking-context.js';
import { loadConfig } from '../config/load-config.js';
import { poolSlots, poolTaskQueue } from '../config/host-pools.js';
import {
  clusterControlTaskQueue,
  controlTaskQueue,
  pipelinesTaskQueue,
  systemTaskQueue,
} from '../core/run.js';
import { BUILD_FILES, type Build } from './build/build-manifest.js';
import { hostCores, type composeActivities, type WorkerSetting } from './compose-activities.js';
import { createDataConverter } from './open-store.js';
import { readPrincipal } from './read-principal.js';
import { createSnapshot, type SnapshotOptions } from './run-snapshot.js';

type Activities = ReturnType<typeof composeActivities>;

/** What {@link createWorkerFactory} takes beside the connection. */
export interface WorkerFactoryOptions extends WorkerSetting, Omit<SnapshotOptions, 'images'> {
  readonly namespace: string;
}

/**
 * Workflows that a worker keeps in memory, and how long one may take to move: as long as a workflow task. Temporal's own 5 s end the whole
 * process when a large fan-out or a long journal meets a busy machine.
 */
const HOSTING = { maxCachedWorkflows: 200, isolateExecutionTimeout: '2m' } as const;

/** Makes the workers of a project: each polls one task queue. */
export function createWorkerFactory(
  options: WorkerFactoryOptions,
  connection: NativeConnection,
  activities: Activities,
) {
  const { config } = options;
  const common = {
    connection,
    namespace: options.namespace,
    dataConverter: createDataConverter(activities.store),
    maxHeartbeatThrottleInterval: '2s',
    defaultHeartbeatThrottleInterval: '1s',
    shutdownForceTime: '20s',
  } as const;
  const hosting = { ...common, ...HOSTING };
  const { system, stepCache, clock, pool, images } = activities;
  return {
    /** Anneal's own workflows and activities. */
    system: async () =>
      await Worker.create({
        ...hosting,
        taskQueue: systemTaskQueue(config.project),
        workflowBundle: await systemBundle(),
        activities: asActivities(system),
      }),
    /** What must never wait for a slot. */
    control: async (where: 'host' | 'cluster') =>
      await Worker.create({
        ...common,
        taskQueue:
          where === 'cluster'
            ? clusterControlTaskQueue(config.project)
            : controlTaskQueue(config.project, options.host),
        activities: asActivities({ endAttempt: pool.endAttempt, commandAttempt: pool.commandAttempt }),
      }),
    /** Attempts of one pool. */
    pool: async (name: string) =>
      await Worker.create({
        ...common,
        taskQueue: poolTaskQueue(config, name, { name: options.host }),
        activities: asActivities({ executeAttempt: pool.executeAttempt }),
        maxConcurrentActivityTaskExecutions: poolSlots(config, name, { cores: hostCores() }),
      }),
    /** Pipelines and tasks of one build; runs stay on the build that they started with. */
    pipelines: async (build: Build) => {
      const deps = {
        ...(await pipelineParts(options, build)),
        snapshot: createSnapshot({ ...options, images }, build),
        ...{ cache: stepCache(build.manifest.steps), clock },
      };
      return await Worker.create({
        ...hosting,
        taskQueue: pipelinesTaskQueue(config.project),
        workflowBundle: { codePath: path.join(build.dir, BUILD_FILES.workflows) },
        activities: asActivities(createPipelineActivities(deps)),
        workerDeploymentOptions: {
          useWorkerVersioning: true,
          version: { deploymentName: config.project, buildId: build.digest },
          defaultVersioningBehavior: 'PINNED',
        },
      });
    },
  };
}

async function pipelineParts(options: WorkerFactoryOptions, build: Build) {
  return {
    directory: () => readApprovers(options),
    readPrincipal: async (run: { readonly workflowId: string; readonly epoch: string }) =>
      await readPrincipal(options.client, run),
    tasks: await loadTasks(build),
    context: readActivityContext,
    verify: verifySignature,
  };
}

/** People as anneal.yaml lists them now: somebody who was taken out yesterday decides nothing. */
async function readApprovers({ config, env, log }: WorkerFactoryOptions): Promise<ApproverDirectory> {
  try {
    return await loadConfig({ cwd: config.root, env, path: config.file });
  } catch (error) {
    log(
      `approvers are those of the worker's start: ${error instanceof Error ? error.message : String(error)}`,
    );
    return config;
  }
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
