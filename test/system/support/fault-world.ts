import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { isSameProcess } from '../../../src/adapters/process-identity.js';
import { connectTemporal, createAnnealClient } from '../../../src/client/index.js';
import type { AnnealClient } from '../../../src/client/index.js';
import { loadConfig } from '../../../src/config/load-config.js';
import { projectPaths } from '../../../src/config/project-paths.js';
import type { ProjectPaths } from '../../../src/config/project-paths.js';
import { findFreePort } from '../../../src/local/free-port.js';
import { startLocalServers, stopLocalServers } from '../../../src/local/local-servers.js';
import type { LocalServices } from '../../../src/local/local-servers.js';
import { readServerRecord } from '../../../src/local/server-record.js';
import { stopWorkerProcess } from '../../../src/local/worker-process.js';
import { makeCurrent } from '../../../src/workers/current-build.js';
import { endLocalAttempts } from '../../../src/workers/end-local-attempts.js';
import { createDataConverter, openStore } from '../../../src/workers/open-store.js';
import { DEFAULT_MODEL, FAULT_PROJECT, writeFaultProject } from './fault-project.js';
import { followFaultRun } from './fault-run.js';
import type { FaultRun } from './fault-run.js';
import { until } from './until.js';
import { spawnCli, startWorkerProcess } from './worker-process.js';
import type { CliProcess } from './worker-process.js';

/** A project with real servers, and worker processes that tests start and kill. */
export interface FaultWorld {
  readonly root: string;
  readonly paths: ProjectPaths;
  readonly client: AnnealClient;
  startWorker(): Promise<CliProcess>;
  /** `anneal <args> --project ...`. */
  runCli(...args: string[]): CliProcess;
  startRun(): Promise<FaultRun>;
  /** A run of the pipeline with its defaults, as `anneal start` makes it. */
  followDefaultRun(runId: string): Promise<FaultRun>;
  /** Sends the run the request to cancel; does not wait. */
  requestCancel(runId: string): Promise<void>;
  /** SIGKILL for a server and everything that it started, and verified gone. */
  killServer(name: 'temporal' | 'mlflow'): Promise<void>;
  startServers(): Promise<LocalServices>;
  stopServers(): Promise<void>;
  /** Versions that a model has. Rejects while MLflow is away. */
  countVersions(modelName: string): Promise<number>;
  /** Ends every open run, every worker of the tests, and every attempt. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the servers, builds the project, connects. */
export async function startFaultWorld(): Promise<FaultWorld> {
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal faults '));
  await writeFaultProject(root);
  const env = serverEnvironment();
  const config = await loadConfig({ cwd: root, env });
  const paths = projectPaths(config);
  const { stateDir } = paths;
  const ports = await freePorts();
  const startServers = async () =>
    await startLocalServers({ stateDir, env, ports, onProgress: () => undefined });
  try {
    const [services, build] = await Promise.all([startServers(), buildWithCli(root, env)]);
    await makeCurrent(paths.buildsDir, build);
    return await connectWorld({ root, paths, env, services, startServers });
  } catch (error) {
    await stopLocalServers({ stateDir });
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

interface WorldParts extends Pick<FaultWorld, 'root' | 'paths' | 'startServers'> {
  readonly env: NodeJS.ProcessEnv;
  readonly services: LocalServices;
}

async function connectWorld(parts: WorldParts): Promise<FaultWorld> {
  const { root, paths, env, services, startServers } = parts;
  const { stateDir } = paths;
  const storeDir = paths.store.root;
  const store = openStore(paths);
  const { address, namespace } = services.temporal;
  const connected = await connectTemporal({
    connection: { address },
    namespace,
    dataConverter: createDataConverter(store),
  });
  const temporal = connected.client;
  const client = createAnnealClient({
    temporal,
    project: FAULT_PROJECT,
    store,
    attemptsDir: paths.attemptsDir,
  });
  const processes: CliProcess[] = [];
  const keep = (started: CliProcess) => {
    processes.push(started);
    return started;
  };
  const follow = (run: { runId: string; executionId: string; modelName: string; control: string }) =>
    followFaultRun({ client, temporal, storeDir }, run);
  const clear = async () => {
    // What a failed test left open must not be taken for the next one's.
    for (const { runId } of await client.list({ state: 'running' }).catch(() => []))
      await client.terminate(runId, 'the test is over');
    for (const one of processes.splice(0)) {
      one.kill('SIGKILL');
      await one.exited();
    }
    await stopWorkerProcess(stateDir);
    await endLocalAttempts(paths, { graceMs: 0 });
  };
  let runs = 0;
  return {
    root,
    paths,
    client,
    startServers,
    clear,
    startWorker: async () => keep(await startWorkerProcess(root, env)),
    runCli: (...args) => keep(spawnCli([...args, '--project', root], env)),
    startRun: async () => {
      runs += 1;
      const modelName = `model-${runs}`;
      const control = path.join(root, `run-${runs}`);
      const parameters = { control, modelName };
      return follow({ ...(await client.startRun('training', { parameters })), modelName, control });
    },
    followDefaultRun: async (runId) => {
      const { executionId } = await client.status(runId);
      return follow({ runId, executionId, modelName: DEFAULT_MODEL, control: path.join(root, 'default') });
    },
    requestCancel: async (runId) => void (await temporal.workflow.getHandle(runId).cancel()),
    killServer: async (name) => await killServer(stateDir, name),
    stopServers: async () => void (await stopLocalServers({ stateDir })),
    countVersions: async (modelName) => await countVersions(services.mlflow.trackingUri, modelName),
    close: async () => {
      await clear();
      await connected.close();
      await stopLocalServers({ stateDir });
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** The build of the compiled package, as its workers make it. */
async function buildWithCli(root: string, env: NodeJS.ProcessEnv): Promise<string> {
  const made = spawnCli(['build', '--json', '--project', root], env);
  const { code } = await made.exited();
  if (code !== 0) throw new Error(`anneal build failed:\n${made.output()}`);
  return (JSON.parse(made.document()) as { digest: string }).digest;
}

/** The user's own servers stay out of it. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const { ANNEAL_TEST_TEMPORAL: temporal, ANNEAL_TEST_MLFLOW: mlflow, ...rest } = process.env;
  const own = Object.entries(rest).filter(
    ([name]) => !/^(TEMPORAL_|MLFLOW_|CI$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return {
    ...Object.fromEntries(own),
    ...(temporal === undefined ? {} : { ANNEAL_TEMPORAL_CLI: temporal }),
    ...(mlflow === undefined ? {} : { ANNEAL_MLFLOW_CLI: mlflow }),
  };
}

/** Below the range that systems take ports for connections from: a server that comes back finds its port free. */
async function freePorts() {
  const first = 20_000 + (process.pid % 1_000) * 10;
  const port = await findFreePort([first]);
  const uiPort = await findFreePort([first + 1], [port]);
  return { temporal: { port, uiPort }, mlflow: { port: await findFreePort([first + 2], [port, uiPort]) } };
}

async function killServer(stateDir: string, name: 'temporal' | 'mlflow'): Promise<void> {
  const record = await readServerRecord(stateDir, name);
  if (record === undefined || record.processes.length === 0) throw new Error(`${name} does not run.`);
  for (const { pid } of record.processes) process.kill(pid, 'SIGKILL');
  await until(`${name} is gone`, async () => {
    const alive = await Promise.all(record.processes.map(isSameProcess));
    return !alive.includes(true);
  });
}

async function countVersions(trackingUri: string, modelName: string): Promise<number> {
  const filter = encodeURIComponent(`name='${modelName}'`);
  const response = await fetch(`${trackingUri}/api/2.0/mlflow/model-versions/search?filter=${filter}`);
  if (!response.ok) throw new Error(`MLflow answers ${response.status}.`);
  const { model_versions: versions = [] } = (await response.json()) as { model_versions?: unknown[] };
  return versions.length;
}
