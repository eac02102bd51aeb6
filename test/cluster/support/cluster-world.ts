import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { V1Job, V1Pod } from '@kubernetes/client-node';

import { WORKER_RIGHTS } from '../../../src/adapters/kubernetes/rights.js';
import { createS3Store } from '../../../src/adapters/s3-store/create-s3-store.js';
import { connectTemporal, createAnnealClient } from '../../../src/client/index.js';
import type { AnnealClient, RunReport } from '../../../src/client/index.js';
import { isOpen } from '../../../src/client/index.js';
import { loadConfig } from '../../../src/config/load-config.js';
import { projectPaths } from '../../../src/config/project-paths.js';
import type { ArtifactStore } from '../../../src/core/artifact-store.js';
import { findFreePort } from '../../../src/local/free-port.js';
import { startLocalServers, stopLocalServers } from '../../../src/local/local-servers.js';
import { makeCurrent } from '../../../src/workers/current-build.js';
import { createDataConverter } from '../../../src/workers/open-store.js';
import { startS3Server } from '../../store/s3-server.js';
import { until } from '../../system/support/until.js';
import { spawnCli, startWorkerProcess, type CliProcess } from '../../system/support/worker-process.js';
import { CLUSTER_PROJECT, STORE_SECRET, writeClusterProject } from './cluster-project.js';
import { openCluster } from './cluster.js';
import { startControlServer, type Told } from './control-server.js';
import { createNamespace, type ClusterNamespace } from './namespace.js';

/** A run of the cluster project's `training`, or of `single`. */
export interface ClusterRun {
  readonly runId: string;
  readonly executionId: string;
  /** What its steps told. */
  told(): readonly Told[];
  /** Waits until attempt `attempt` of the training has a checkpoint in the store; answers with its start. */
  training(attempt?: number): Promise<Told>;
  finish(): void;
  ended(timeoutMs?: number): Promise<RunReport>;
}

/** A project on the cluster: Temporal and MLflow of its own, its store in a bucket that pods reach, workers that tests start and kill. */
export interface ClusterWorld {
  readonly root: string;
  readonly namespace: ClusterNamespace;
  readonly client: AnnealClient;
  readonly store: ArtifactStore;
  /** @param kubeconfig default: the namespace's worker, straight to the API server. */
  startWorker(kubeconfig?: string): Promise<CliProcess>;
  startRun(pipeline?: 'training' | 'single'): Promise<ClusterRun>;
  /** A command of the CLI in the project, as a process. */
  anneal(...args: string[]): CliProcess;
  jobs(): Promise<readonly V1Job[]>;
  pods(): Promise<readonly V1Pod[]>;
  /** Ends runs, workers and Jobs. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the servers, writes and builds the project, connects. @param more lines under `kubernetes:` in anneal.yaml. */
export async function startClusterWorld({
  more = '',
}: { readonly more?: string } = {}): Promise<ClusterWorld> {
  const { hostAddress } = openCluster();
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-cluster-world-'));
  const [namespace, s3, control] = await Promise.all([
    createNamespace('world', WORKER_RIGHTS),
    startS3Server(hostAddress),
    startControlServer(hostAddress),
  ]);
  const stateDir = path.join(root, '.anneal', 'local');
  const close = async () => {
    await stopLocalServers({ stateDir });
    await Promise.all([namespace.remove(), s3.stop(), control.close()]);
    await rm(root, { recursive: true, force: true });
  };
  try {
    const store = `s3://${s3.bucket}/projects/clustered`;
    await writeClusterProject({ root, namespace: namespace.name, store, controlUrl: control.url, more });
    await namespace.cluster.apply(storeSecret(namespace.name, s3.credentials));
    const env = worldEnvironment({ ...s3.env, KUBECONFIG: namespace.kubeconfig });
    return await connectWorld({
      root,
      env,
      namespace,
      control,
      close,
      s3Options: { ...s3.storeOptions(), root: store },
    });
  } catch (error) {
    await close();
    throw error;
  }
}

/** The Secret of the store's credentials, as `kubernetes.store.secret` names it. */
export function storeSecret(
  namespace: string,
  { accessKeyId, secretAccessKey }: { readonly accessKeyId: string; readonly secretAccessKey: string },
): object {
  const stringData = { 'access-key-id': accessKeyId, 'secret-access-key': secretAccessKey };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: STORE_SECRET, namespace }, stringData };
}

interface WorldParts {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  readonly namespace: ClusterNamespace;
  readonly control: Awaited<ReturnType<typeof startControlServer>>;
  readonly s3Options: Parameters<typeof createS3Store>[0];
  readonly close: () => Promise<void>;
}

async function connectWorld({
  root,
  env,
  namespace,
  control,
  s3Options,
  close,
}: WorldParts): Promise<ClusterWorld> {
  const config = await loadConfig({ cwd: root, env });
  const paths = projectPaths(config);
  const [services, build] = await Promise.all([
    startLocalServers({
      stateDir: paths.stateDir,
      env,
      ports: await freePorts(),
      onProgress: () => undefined,
    }),
    buildWithCli(root, env),
  ]);
  await makeCurrent(paths.buildsDir, build);
  const store = createS3Store(s3Options);
  const { address, namespace: temporalNamespace } = services.temporal;
  const connected = await connectTemporal({
    connection: { address },
    namespace: temporalNamespace,
    dataConverter: createDataConverter(store),
  });
  const client = createAnnealClient({
    temporal: connected.client,
    project: CLUSTER_PROJECT,
    store,
    attemptsDir: paths.attemptsDir,
  });
  const workers: CliProcess[] = [];
  const list = async <T>(kind: string) =>
    (await namespace.cluster.read<{ readonly items: readonly T[] }>(kind, '-n', namespace.name)).items;
  const clear = async () => {
    for (const { runId } of await client.list({ state: 'running' }).catch(() => []))
      await client.terminate(runId, 'the test is over');
    for (const worker of workers.splice(0)) {
      worker.kill('SIGKILL');
      await worker.exited();
    }
    const jobs = ['delete', 'jobs', '--all', '-n', namespace.name, '--wait=false'];
    await namespace.cluster.kubectl(jobs);
    await namespace.cluster.kubectl([
      'delete',
      'pods',
      '--all',
      '-n',
      namespace.name,
      '--wait=false',
      '--grace-period=1',
    ]);
  };
  let runs = 0;
  return {
    root,
    namespace,
    client,
    store,
    clear,
    jobs: async () => await list<V1Job>('jobs'),
    pods: async () => await list<V1Pod>('pods'),
    startWorker: async (kubeconfig = namespace.kubeconfig) => {
      const worker = await startWorkerProcess(root, { ...env, KUBECONFIG: kubeconfig });
      workers.push(worker);
      return worker;
    },
    anneal: (...args) => spawnCli([...args, '--project', root], { ...env, NO_COLOR: '1' }),
    startRun: async (pipeline = 'training') => {
      runs += 1;
      const name = `run-${runs}`;
      const parameters =
        pipeline === 'training' ? { control: name, modelName: `model-${runs}` } : { control: name };
      const started = await client.startRun(pipeline, { parameters });
      return followRun({ client, store, control }, { ...started, name });
    },
    close: async () => {
      await clear();
      await connected.close();
      await close();
    },
  };
}

function followRun(
  { client, store, control }: Pick<ClusterWorld, 'client' | 'store'> & Pick<WorldParts, 'control'>,
  {
    runId,
    executionId,
    name,
  }: { readonly runId: string; readonly executionId: string; readonly name: string },
): ClusterRun {
  const told = () => control.told(name);
  return {
    runId,
    executionId,
    told,
    training: async (attempt = 1) =>
      await until(`attempt ${attempt} of the training of ${runId} has a checkpoint`, async () => {
        const start = told().find(
          (one) => one.event === 'start' && one.step === 'train' && one.attempt === attempt,
        );
        return start !== undefined && (await storedUnits(store, executionId)) > start.units
          ? start
          : undefined;
      }),
    finish: () => control.finish(name),
    ended: async (timeoutMs) =>
      await until(
        `${runId} has ended`,
        async () => {
          const report = await client.status(runId);
          if (isOpen(report.state)) throw new Error(`It is ${JSON.stringify(report.calls)}.`);
          return report;
        },
        timeoutMs,
      ),
  };
}

/** Units in the newest checkpoint that is safe in the store. */
async function storedUnits(store: ArtifactStore, executionId: string): Promise<number> {
  let units = 0;
  for await (const { key } of store.list(`runs/${executionId}/`)) {
    const found = /unit-(\d+)\/checkpoint\.json$/.exec(key)?.[1];
    units = Math.max(units, Number(found ?? 0));
  }
  return units;
}

async function buildWithCli(root: string, env: NodeJS.ProcessEnv): Promise<string> {
  const made = spawnCli(['build', '--json', '--project', root], env);
  const { code } = await made.exited();
  if (code !== 0) throw new Error(`anneal build failed:\n${made.output()}`);
  return (JSON.parse(made.document()) as { digest: string }).digest;
}

/** The user's own servers stay out of it. */
function worldEnvironment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { ANNEAL_TEST_TEMPORAL: temporal, ANNEAL_TEST_MLFLOW: mlflow, ...rest } = process.env;
  const own = Object.entries(rest).filter(
    ([name]) => !/^(TEMPORAL_|MLFLOW_|AWS_|KUBE|CI$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return {
    ...Object.fromEntries(own),
    ...(temporal === undefined ? {} : { ANNEAL_TEMPORAL_CLI: temporal }),
    ...(mlflow === undefined ? {} : { ANNEAL_MLFLOW_CLI: mlflow }),
    ...more,
  };
}

async function freePorts() {
  const first = 21_000 + (process.pid % 1_000) * 10;
  const port = await findFreePort([first]);
  const uiPort = await findFreePort([first + 1], [port]);
  return { temporal: { port, uiPort }, mlflow: { port: await findFreePort([first + 2], [port, uiPort]) } };
}
