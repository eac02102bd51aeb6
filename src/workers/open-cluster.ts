import type { AttemptExecutor } from '../activities/ports/executor.js';
import { createAttemptWatcher, type AttemptWatcher } from '../adapters/kubernetes/attempt-watcher.js';
import { createKubernetesExecutor } from '../adapters/kubernetes/create-kubernetes-executor.js';
import { projectSelector } from '../adapters/kubernetes/labels.js';
import type { ProjectConfig } from '../config/project-config.js';
import { projectPaths } from '../config/project-paths.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { openKubernetes, type OpenKubernetes } from './open-kubernetes.js';
import { createShipCode } from './ship-step-code.js';

/** The cluster of a worker, watched. */
export interface Cluster extends OpenKubernetes {
  readonly watcher: AttemptWatcher;
  /** Ends the watch and the connections. */
  close(): Promise<void>;
}

/** What is asked of a worker's settings. */
export interface ClusterSetting {
  readonly config: ProjectConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly log: (message: string) => void;
}

/** Finds the cluster of a project and begins to watch its Jobs and pods. @throws AnnealError InvalidConfig: no kubeconfig, no such context. */
export async function openCluster({ config, env, log }: ClusterSetting): Promise<Cluster | undefined> {
  if (config.kubernetes === undefined) return undefined;
  const opened = await openKubernetes(config.kubernetes, env);
  const watcher = createAttemptWatcher({
    transport: opened.transport,
    namespace: opened.api.namespace,
    labelSelector: projectSelector(config.project),
    onProblem: logChanges(log),
  });
  watcher.start();
  return {
    ...opened,
    watcher,
    close: async () => {
      await watcher.stop();
      await opened.api.close();
    },
  };
}

/** The executor of all Kubernetes pools of a worker. */
export function createClusterExecutor(
  { config, log }: ClusterSetting,
  { api, watcher }: Cluster,
  store: ArtifactStore,
): AttemptExecutor {
  const { kubernetes, pools } = config;
  return createKubernetesExecutor({
    api,
    watcher,
    store,
    project: config.project,
    settings: { image: '', jobsPerSecond: 1, ...kubernetes },
    placementOf: (name) => {
      const { placement, ephemeralStorage } = pools[name] ?? {};
      return placement && { placement, ...(ephemeralStorage === undefined ? {} : { ephemeralStorage }) };
    },
    ...(config.store.s3 === undefined ? {} : { s3: config.store.s3 }),
    data: config.data,
    ...(config.mlflow.stepCredentials === undefined ? {} : { mlflowSecret: config.mlflow.stepCredentials }),
    shipCode: createShipCode(store, projectPaths(config).buildsDir),
    clock: { nowMs: () => Date.now() },
    log,
  });
}

/** Says what goes wrong with the API when it is something else than before, and at most once a minute. */
function logChanges(log: (message: string) => void): (problem: Error) => void {
  let last = { message: '', atMs: -Infinity };
  return ({ message }) => {
    const atMs = performance.now();
    if (message === last.message && atMs - last.atMs < AGAIN_MS) return;
    last = { message, atMs };
    log(`watching Kubernetes: ${message}`);
  };
}

const AGAIN_MS = 60_000;
