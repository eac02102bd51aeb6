import { cp, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { V1Pod } from '@kubernetes/client-node';

import { WORKER_RIGHTS } from '../../../src/adapters/kubernetes/rights.js';
import type { RunStatus } from '../../../src/core/run.js';
import { stopLocalServers } from '../../../src/local/local-servers.js';
import { startS3Server } from '../../store/s3-server.js';
import { startRealMlflow } from '../../system/mlflow-server.js';
import { spawnCli } from '../../system/support/worker-process.js';
import { storeSecret } from './cluster-world.js';
import { openCluster } from './cluster.js';
import { createNamespace } from './namespace.js';

/** What a run of the churn example on the cluster left. */
export interface ChurnOnCluster {
  readonly status: RunStatus;
  /** What `anneal run` printed. */
  readonly output: string;
  /** The pod of `train-model`, as it was seen last. */
  readonly trainer: V1Pod | undefined;
  /** Steps of the run that had a pod. */
  readonly podSteps: readonly string[];
  /** Versions of the model in MLflow. */
  readonly versions: readonly string[];
  /** The version that the alias `champion` names there. */
  readonly champion: string | undefined;
  /** Keys in the bucket. */
  readonly keys: readonly string[];
}

/** Runs `examples/churn` with its steps as Jobs, from nothing to a registered model, with servers of its own, and takes all of it away again. */
export async function runChurnOnCluster(say: (line: string) => void): Promise<ChurnOnCluster> {
  const cluster = openCluster();
  const { hostAddress } = cluster;
  const startedAt = performance.now();
  const tell = (line: string) =>
    say(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const project = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-churn-cluster-'));
  const closing: (() => Promise<unknown>)[] = [() => rm(project, { recursive: true, force: true })];
  try {
    const executable = process.env['ANNEAL_TEST_MLFLOW'];
    if (executable === undefined) throw new Error('ANNEAL_TEST_MLFLOW is not set.');
    const [namespace, s3, mlflow] = await Promise.all([
      createNamespace('churn', WORKER_RIGHTS),
      startS3Server(hostAddress),
      startRealMlflow(executable, { host: hostAddress }),
    ]);
    closing.push(
      () => namespace.remove(),
      () => s3.stop(),
      () => mlflow.stop(),
    );
    tell(`namespace ${namespace.name}, S3 at ${s3.endpoint}, MLflow at ${mlflow.url}`);
    await s3.s3.createBucket({ Bucket: 'churn' });
    await cluster.apply(storeSecret(namespace.name, s3.credentials));
    await copyProject(project, namespace.name);
    const env = {
      ...ownEnvironment(),
      ...s3.env,
      KUBECONFIG: namespace.kubeconfig,
      MLFLOW_TRACKING_URI: mlflow.url,
      ANNEAL_TEMPORAL_CLI: process.env['ANNEAL_TEST_TEMPORAL'],
      NO_COLOR: '1',
      CI: 'true',
    };
    const anneal = async (...args: string[]) => {
      const started = spawnCli([...args, '--project', project], env);
      const { code } = await started.exited();
      if (code !== 0)
        throw new Error(`anneal ${args.join(' ')} ended with code ${String(code)}:\n${started.output()}`);
      return started;
    };
    closing.push(
      () => anneal('down'),
      () => stopLocalServers({ stateDir: path.join(project, '.anneal', 'local') }),
    );
    await anneal('up');
    tell('worker and Temporal are up');
    const pods = watchPods(async () => await readPods(namespace.name), tell);
    const run = await anneal('run', 'churn-training', '--id', 'on-cluster', '--wait');
    const seen = await pods.stop();
    // Its links lead to servers that are gone at the end of this function.
    for (const line of run.document().trim().split('\n')) if (!line.includes('://')) tell(line.trim());
    const status = JSON.parse((await anneal('describe', 'on-cluster', '--json')).document()) as RunStatus;
    const keys: string[] = [];
    const listed = await s3.s3.listObjectsV2({ Bucket: 'churn' });
    for (const { Key } of listed.Contents ?? []) if (Key !== undefined) keys.push(Key);
    return {
      status,
      output: run.output(),
      trainer: seen.get('train-model'),
      podSteps: [...seen.keys()],
      ...(await readModel(mlflow.url)),
      keys,
    };
  } finally {
    for (const close of closing.reverse()) await close().catch((error: unknown) => say(String(error)));
  }

  async function readPods(namespace: string): Promise<readonly V1Pod[]> {
    return (await cluster.read<{ readonly items: readonly V1Pod[] }>('pods', '-n', namespace)).items;
  }
}

const repository = fileURLToPath(new URL('../../..', import.meta.url));

async function copyProject(project: string, namespace: string): Promise<void> {
  const from = path.join(repository, 'examples', 'churn');
  await cp(from, path.join(project, 'examples', 'churn'), { recursive: true });
  const settings = await readFile(path.join(from, 'cluster.yaml'), 'utf8');
  const own = settings.replace('namespace: churn', `namespace: ${namespace}`);
  await writeFile(path.join(project, 'anneal.yaml'), own);
}

/** Tells of pods as they come and go, and remembers the last look of each step's. */
function watchPods(read: () => Promise<readonly V1Pod[]>, tell: (line: string) => void) {
  const seen = new Map<string, V1Pod>();
  const told = new Set<string>();
  let over = false;
  const look = async () => {
    for (const pod of await read()) {
      const step = pod.metadata?.labels?.['anneal.dev/step'] ?? pod.metadata?.name ?? '';
      seen.set(step, pod);
      const gpus = pod.spec?.containers[0]?.resources?.limits?.['nvidia.com/gpu'];
      const where =
        pod.spec?.nodeName === undefined
          ? ''
          : ` on ${pod.spec.nodeName}${gpus === undefined ? '' : ` with ${gpus} GPU`}`;
      const line = `${step}: pod ${pod.metadata?.name ?? ''} ${pod.status?.phase ?? ''}${where}`;
      if (!told.has(line)) tell(line);
      told.add(line);
    }
  };
  const looking = (async () => {
    while (!over) {
      await look().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await look();
  })();
  return {
    stop: async () => {
      over = true;
      await looking;
      return seen;
    },
  };
}

function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(TEMPORAL_|MLFLOW_|AWS_|KUBE|NODE_TEST_CONTEXT$)/.test(name),
    ),
  );
}

async function readModel(url: string): Promise<Pick<ChurnOnCluster, 'versions' | 'champion'>> {
  const read = async <T>(path: string) => (await (await fetch(`${url}/api/2.0/mlflow/${path}`)).json()) as T;
  const filter = encodeURIComponent("name='churn-predictor'");
  const [found, aliased] = await Promise.all([
    read<{ model_versions?: readonly { version: string }[] }>(`model-versions/search?filter=${filter}`),
    read<{ model_version?: { version: string } }>(
      'registered-models/alias?name=churn-predictor&alias=champion',
    ),
  ]);
  return {
    versions: (found.model_versions ?? []).map(({ version }) => version),
    champion: aliased.model_version?.version,
  };
}
