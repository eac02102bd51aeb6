import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { V1Job, V1Pod } from '@kubernetes/client-node';

import type { RunStatus } from '../../../src/core/run.js';
import { findFreePort } from '../../../src/local/free-port.js';
import { SEARCH_ATTRIBUTES } from '../../../src/local/temporal-server.js';
import { startS3Server, type S3Server } from '../../store/s3-server.js';
import { startRealMlflow } from '../../system/mlflow-server.js';
import { until } from '../../system/support/until.js';
import { spawnCli } from '../../system/support/worker-process.js';
import { writeClusterProject } from './cluster-project.js';
import { storeSecret } from './cluster-world.js';
import { openCluster, type TestCluster } from './cluster.js';
import { startControlServer, type ControlServer } from './control-server.js';

/** The cluster project with the workers of `k8s/overlays/local`, on servers that run on this machine: no worker of Anneal does. */
export interface DeployedProject {
  readonly namespace: string;
  readonly cluster: TestCluster;
  readonly control: ControlServer;
  /** Runs a command of the CLI in the project. @throws when it fails. */
  anneal(...args: string[]): Promise<string>;
  status(runId: string): Promise<RunStatus>;
  /** Of steps. */
  jobs(): Promise<readonly V1Job[]>;
  /** Of workers. */
  workers(): Promise<readonly V1Pod[]>;
  kubectl(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** Starts Temporal, MLflow and an S3 server where pods reach them, and applies the overlay, in a namespace and with addresses of its own. */
export async function deployProject(): Promise<DeployedProject> {
  const cluster = openCluster();
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-deployed-'));
  const namespace = path.basename(root).toLowerCase();
  const closing: (() => Promise<unknown>)[] = [() => rm(root, { recursive: true, force: true })];
  const close = async () => {
    for (const end of closing.reverse()) await end();
  };
  try {
    const { servers, stop } = await startServers(cluster.hostAddress);
    closing.push(stop);
    const { s3, control, temporal, mlflow } = servers;
    const project = path.join(root, 'project');
    const more = `s3: { endpoint: "${s3.endpoint}", region: us-east-1, forcePathStyle: true }\nbuilds: store`;
    const store = `s3://${s3.bucket}/deployed`;
    await writeClusterProject({ root: project, namespace, store, controlUrl: control.url, settings: more });
    const overlay = path.join(root, 'overlay');
    await writeOverlay(overlay, { namespace, project, temporal, mlflow, s3 });
    const removal = ['delete', 'namespace', namespace, '--wait=false', '--ignore-not-found'];
    closing.push(async () => await cluster.kubectl(removal));
    await cluster.kubectl(['apply', '--server-side', '-k', overlay]);
    await cluster.apply(storeSecret(namespace, s3.credentials));
    const env = { ...ownEnvironment(), ...s3.env, TEMPORAL_ADDRESS: temporal, MLFLOW_TRACKING_URI: mlflow };
    const anneal = async (...args: string[]) => {
      const started = spawnCli([...args, '--project', project], env);
      const { code } = await started.exited();
      if (code !== 0) throw new Error(`anneal ${args.join(' ')}: ${String(code)}\n${started.output()}`);
      return started.document();
    };
    const list = async <T>(kind: string, selector: string) =>
      (await cluster.read<{ readonly items: readonly T[] }>(kind, '-n', namespace, '-l', selector)).items;
    return {
      namespace,
      cluster,
      control,
      anneal,
      status: async (runId) => JSON.parse(await anneal('describe', runId, '--json')) as RunStatus,
      jobs: async () => await list('jobs', 'app.kubernetes.io/managed-by=anneal'),
      workers: async () => await list('pods', 'app.kubernetes.io/component=worker'),
      kubectl: async (...args) => await cluster.kubectl(['-n', namespace, ...args]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Servers {
  readonly s3: S3Server;
  readonly control: ControlServer;
  readonly temporal: string;
  readonly mlflow: string;
}

async function startServers(host: string): Promise<{ servers: Servers; stop: () => Promise<void> }> {
  const executable = process.env['ANNEAL_TEST_MLFLOW'];
  if (executable === undefined) throw new Error('ANNEAL_TEST_MLFLOW is not set.');
  const [s3, control, temporal, mlflow] = await Promise.all([
    startS3Server(host),
    startControlServer(host),
    startTemporal(host),
    startRealMlflow(executable, { host }),
  ]);
  return {
    servers: { s3, control, temporal: temporal.address, mlflow: mlflow.url },
    stop: async () => {
      await Promise.all([s3.stop(), control.close(), temporal.stop(), mlflow.stop()]);
    },
  };
}

/** A dev server in memory, and a way to it for pods: told to listen elsewhere, it does not find its own parts. */
async function startTemporal(host: string): Promise<{ address: string; stop: () => Promise<void> }> {
  const cli = process.env['ANNEAL_TEST_TEMPORAL'];
  if (cli === undefined) throw new Error('ANNEAL_TEST_TEMPORAL is not set.');
  const port = await findFreePort([22_000 + (process.pid % 1_000) * 10]);
  const attributes = Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [
    '--search-attribute',
    `${name}=${type}`,
  ]);
  const args = ['server', 'start-dev', '--headless', '--port', String(port), ...attributes];
  const child = spawn(cli, [...args, '--log-level', 'error'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const forward = await forwardPort({ from: host, to: '127.0.0.1', port });
  const stop = async () => {
    await forward.close();
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  try {
    const address = `${host}:${port}`;
    await until('Temporal answers', async () => {
      const asked = spawn(cli, ['operator', 'cluster', 'health', '--address', address], { stdio: 'ignore' });
      const [code] = (await once(asked, 'exit')) as [number | null];
      return code === 0;
    });
    return { address, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Connections to a port of one address go to the same port of another. */
async function forwardPort(of: { readonly from: string; readonly to: string; readonly port: number }) {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    const other = connect(of.port, of.to);
    for (const [one, peer] of [
      [socket, other],
      [other, socket],
    ] as const) {
      open.add(one);
      one.on('error', () => peer.destroy());
      one.on('close', () => {
        open.delete(one);
        peer.destroy();
      });
      one.pipe(peer);
    }
  });
  server.listen(of.port, of.from);
  await once(server, 'listening');
  return {
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface OverlayParts extends Pick<Servers, 's3' | 'temporal' | 'mlflow'> {
  readonly namespace: string;
  readonly project: string;
}

const LOCAL = fileURLToPath(new URL('../../../k8s/overlays/local', import.meta.url));

/** What a user's own overlay is: the nearest one of ours, and what is theirs on top. */
async function writeOverlay(
  folder: string,
  { namespace, project, s3, temporal, mlflow }: OverlayParts,
): Promise<void> {
  await mkdir(folder);
  await copyFile(path.join(project, 'anneal.yaml'), path.join(folder, 'anneal.yaml'));
  const credentials = [
    `AWS_ACCESS_KEY_ID=${s3.credentials.accessKeyId}`,
    `AWS_SECRET_ACCESS_KEY=${s3.credentials.secretAccessKey}`,
  ];
  const replace = (pointer: string, value: string) => ({ op: 'replace', path: pointer, value });
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    namespace,
    resources: [path.relative(folder, LOCAL)],
    generatorOptions: { disableNameSuffixHash: true },
    configMapGenerator: [{ name: 'anneal-project', behavior: 'replace', files: ['anneal.yaml'] }],
    secretGenerator: [{ name: 'anneal-credentials', literals: credentials }],
    patches: [
      {
        target: { kind: 'ConfigMap', name: 'anneal-settings' },
        patch: JSON.stringify([
          replace('/data/TEMPORAL_ADDRESS', temporal),
          replace('/data/MLFLOW_TRACKING_URI', mlflow),
        ]),
      },
    ],
  };
  await writeFile(path.join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
}

function ownEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(TEMPORAL_|MLFLOW_|AWS_|KUBE|NODE_TEST_CONTEXT$)/;
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
    NO_COLOR: '1',
    CI: 'true',
  };
}
