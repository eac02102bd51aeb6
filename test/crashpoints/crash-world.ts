import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Client } from '@temporalio/client';

import { connectTemporal } from '../../src/client/index.js';
import { loadConfig } from '../../src/config/load-config.js';
import type { ProjectPaths } from '../../src/config/project-paths.js';
import { projectPaths } from '../../src/config/project-paths.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { findFreePort } from '../../src/local/free-port.js';
import { startLocalServers, stopLocalServers } from '../../src/local/local-servers.js';
import { makeCurrent } from '../../src/workers/current-build.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { createDataConverter, openStore } from '../../src/workers/open-store.js';
import { startS3Server } from '../store/s3-server.js';
import type { S3Server } from '../store/s3-server.js';
import { until } from '../system/support/until.js';
import { spawnCli } from '../system/support/worker-process.js';
import { createWorkerSupply } from './crash-worker.js';
import type { CrashWorker } from './crash-worker.js';
import { writeCrashProject } from './crash-project.js';
import { startGrpcProxy } from './grpc-proxy.js';
import { describeMlflow, describeS3 } from './http-effects.js';
import type { CrashProxy } from './http-proxy.js';
import { startHttpProxy } from './http-proxy.js';
import { CHANGING_CALLS, inspectCall } from './temporal-calls.js';
import { createTripwire } from './tripwire.js';
import type { Tripwire } from './tripwire.js';

/**
 * What is run: `plain`, the pipeline with its store in a directory; `rough`, the same with a first attempt
 * that fails and a training that still runs when its checkpoint is stored; `s3`, with the store
 * in a bucket and a model that goes there in parts.
 */
export const SCENARIOS = ['plain', 'rough', 's3'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** Servers, the proxies in front of them, a project, and one worker at a time. */
export interface CrashWorld {
  readonly scenario: Scenario;
  readonly project: string;
  readonly paths: ProjectPaths;
  /** Past the proxies. */
  readonly temporal: Client;
  readonly trackingUri: string;
  readonly store: ArtifactStore;
  readonly s3: S3Server | undefined;
  readonly tripwire: Tripwire;
  readonly root: string;
  /** The worker that lives; a new one where the last one died. */
  worker(): Promise<CrashWorker>;
  /** Ends everything that a broken point may have left of its run. */
  clear(runId?: string): Promise<void>;
  close(): Promise<void>;
}

const SMALL_BYTES = 1_000;
const LARGE_BYTES = 9 * 1024 * 1024;

/** Starts everything but the worker. */
export async function startCrashWorld(scenario: Scenario): Promise<CrashWorld> {
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-crash-'));
  const undo: (() => Promise<unknown>)[] = [async () => await rm(root, { recursive: true, force: true })];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await startWorld({ scenario, root, undo, close });
  } catch (error) {
    await close();
    throw error;
  }
}

interface WorldStart {
  readonly scenario: Scenario;
  readonly root: string;
  readonly undo: (() => Promise<unknown>)[];
  readonly close: () => Promise<void>;
}

async function startWorld({ scenario, root, undo, close }: WorldStart): Promise<CrashWorld> {
  const project = `crash-${scenario}`;
  const s3 = scenario === 's3' ? await startS3Server() : undefined;
  if (s3) undo.push(s3.stop);
  const place = s3 && `s3://${s3.bucket}/store`;
  await writeCrashProject({
    root,
    project,
    modelBytes: s3 ? LARGE_BYTES : SMALL_BYTES,
    ...(place === undefined ? {} : { store: place }),
  });
  const env = { ...ownEnvironment(), ...s3?.env, LOG_LEVEL: 'warn' };
  Object.assign(process.env, s3?.env);
  const config = await loadConfig({ cwd: root, env });
  const paths = projectPaths(config);
  const { stateDir, attemptsDir } = paths;
  undo.push(async () => await stopLocalServers({ stateDir }));
  const services = await startLocalServers({
    stateDir,
    env,
    ports: await freePorts(),
    onProgress: () => undefined,
  });
  await makeCurrent(paths.buildsDir, await buildWithCli(root, env));
  const store = openStore(paths);
  const connected = await connectTemporal({
    connection: { address: services.temporal.address },
    namespace: services.temporal.namespace,
    dataConverter: createDataConverter(store),
  });
  undo.push(connected.close);
  const control = path.join(root, 'crashpoints');
  mkdirSync(control);
  const storeDir = s3 ? undefined : paths.store.root;
  writeFileSync(path.join(control, 'places.json'), JSON.stringify({ storeDir, attemptsDir }));
  const tripwire = createTripwire(control);
  let worker: CrashWorker | undefined;
  const killWorker = () => {
    if (worker?.isAlive() === true) killProcess(worker.pid);
  };
  const proxies = await startProxies({ services, s3, tripwire, killWorker, workerPid: () => worker?.pid });
  undo.push(...proxies.all.map((proxy) => proxy.stop));
  const clear = async (runId?: string) => {
    if (runId !== undefined)
      await connected.client.workflow
        .getHandle(runId)
        .terminate('its point is broken')
        .catch(() => undefined);
    killWorker();
    await until('the worker is gone', () => worker?.isAlive() !== true);
    await endLocalAttempts(paths, { graceMs: 0 });
  };
  const supply = createWorkerSupply(root, { ...env, ...proxies.env, ANNEAL_CRASHPOINTS: control });
  undo.push(async () => await clear(), supply.close);
  return {
    ...{ scenario, project, paths, store, s3, tripwire, root, clear, close },
    temporal: connected.client,
    trackingUri: services.mlflow.trackingUri,
    worker: async () => {
      if (worker?.isAlive() !== true) worker = await supply.next();
      return worker;
    },
  };
}

interface ProxyStart {
  readonly services: Awaited<ReturnType<typeof startLocalServers>>;
  readonly s3: S3Server | undefined;
  readonly tripwire: Tripwire;
  readonly killWorker: () => void;
  readonly workerPid: () => number | undefined;
}

async function startProxies({ services, s3, tripwire, killWorker, workerPid }: ProxyStart) {
  const { hit } = tripwire;
  const temporal = await startGrpcProxy({
    target: services.temporal.address,
    inspected: CHANGING_CALLS,
    inspect: inspectCall,
    // Tokens and requests hold the workflow's id as text, which holds that of the run.
    hit: (effect, message) => hit(effect, Buffer.from(message).toString('latin1')),
    kill: killWorker,
  });
  const mlflow = await startHttpProxy({
    target: services.mlflow.trackingUri,
    ownHost: true,
    describe: describeMlflow,
    // A lane looks after its aliases minutes later, too.
    hit: (effect, body) =>
      /registered-models|model-versions/.test(effect) ? hit(effect, body.toString()) : hit(effect),
    kill: killWorker,
  });
  const all: CrashProxy[] = [temporal, mlflow];
  const env: NodeJS.ProcessEnv = {
    TEMPORAL_ADDRESS: `127.0.0.1:${temporal.port}`,
    TEMPORAL_NAMESPACE: services.temporal.namespace,
    MLFLOW_TRACKING_URI: `http://127.0.0.1:${mlflow.port}`,
  };
  if (s3) {
    const isWorker = (headers: IncomingHttpHeaders) => senderOf(headers) === workerPid();
    const bucket = await startHttpProxy({
      target: s3.endpoint,
      ownHost: false,
      describe: (request) => describeS3(request, isWorker(request.headers) ? 'worker' : 'supervisor'),
      hit: (effect) => hit(effect),
      kill: (headers) => {
        if (!killProcess(senderOf(headers))) tripwire.missed();
        if (!isWorker(headers) && tripwire.both()) killWorker();
      },
    });
    all.push(bucket);
    env['AWS_ENDPOINT_URL_S3'] = `http://127.0.0.1:${bucket.port}`;
  }
  return { all, env };
}

/** @returns false when it has ended by itself. */
function killProcess(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

/** The process that sent a request to S3, as it names itself. */
function senderOf(headers: IncomingHttpHeaders): number | undefined {
  const said = /app\/pid-(\d+)/.exec(
    `${String(headers['user-agent'])} ${String(headers['x-amz-user-agent'])}`,
  );
  return said?.[1] === undefined ? undefined : Number(said[1]);
}

async function buildWithCli(root: string, env: NodeJS.ProcessEnv): Promise<string> {
  const made = spawnCli(['build', '--json', '--project', root], env);
  const { code } = await made.exited();
  if (code !== 0) throw new Error(`anneal build failed:\n${made.output()}`);
  return (JSON.parse(made.document()) as { digest: string }).digest;
}

/** The user's own servers stay out of it. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { ANNEAL_TEST_TEMPORAL: temporal, ANNEAL_TEST_MLFLOW: mlflow, ...rest } = process.env;
  const own = Object.entries(rest).filter(
    ([name]) => !/^(TEMPORAL_|MLFLOW_|AWS_|CI$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return {
    ...Object.fromEntries(own),
    ...(temporal === undefined ? {} : { ANNEAL_TEMPORAL_CLI: temporal }),
    ...(mlflow === undefined ? {} : { ANNEAL_MLFLOW_CLI: mlflow }),
  };
}

async function freePorts() {
  const port = await findFreePort([]);
  const uiPort = await findFreePort([], [port]);
  return { temporal: { port, uiPort }, mlflow: { port: await findFreePort([], [port, uiPort]) } };
}
