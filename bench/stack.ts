import { cp, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createFileStore } from '../dist/adapters/file-store/create-file-store.js';
import { createPayloadCodec } from '../dist/adapters/payload-codec.js';
import { loadConfig } from '../dist/config/load-config.js';
import { projectPaths } from '../dist/config/project-paths.js';
import type { ProjectConfig } from '../dist/config/project-config.js';
import { buildProject, type ProjectBuild } from '../dist/workers/build/build-project.js';
import { makeCurrent } from '../dist/workers/current-build.js';
import { runProjectWorkers } from '../dist/workers/project-workers.js';
import { baselineActivities, baselineLocalActivities } from './baseline-activities.js';
import { startTemporalServer } from './temporal-server.js';

/** Everything that is measured, running. */
export interface BenchStack {
  readonly client: Client;
  /** Of the workers that the benchmark makes itself. */
  readonly connection: NativeConnection;
  readonly config: ProjectConfig;
  readonly build: ProjectBuild;
  /** Workflow code of T0. */
  readonly baseline: { readonly code: string };
  readonly temporalVersion: string;
}

const repository = fileURLToPath(new URL('..', import.meta.url));

/** Server, a project outside the repository, its workers and those of T0, for as long as `use` takes. */
export async function withStack<T>(
  log: (line: string) => void,
  use: (stack: BenchStack) => Promise<T>,
): Promise<T> {
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-bench-'));
  // Forwarded: by itself the core writes its warnings into the report, on standard output.
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { forward: {}, filter: 'error' } },
  });
  const server = await startTemporalServer(root, process.env, log);
  try {
    const config = await makeProject(path.join(root, 'project'));
    const build = await buildProject({ config, onProgress: log });
    await makeCurrent(projectPaths(config).buildsDir, build.digest);
    const stop = new AbortController();
    const connection = await NativeConnection.connect({ address: server.address });
    const client = new Client({
      connection: await Connection.connect({ address: server.address }),
      dataConverter: { payloadCodecs: [createPayloadCodec(createFileStore({ root: config.store.root }))] },
    });
    const running: Promise<unknown>[] = [];
    try {
      const baseline = await bundleBaseline();
      running.push(...(await startBaseline(baseline, connection, stop.signal)));
      await startAnneal({ config, client, address: server.address, stop, log }, running);
      return await use({ client, connection, config, build, baseline, temporalVersion: server.version });
    } finally {
      stop.abort();
      await Promise.allSettled(running);
      await client.connection.close();
      await connection.close();
    }
  } finally {
    await server.stop();
    await rm(root, { recursive: true, force: true });
  }
}

/** The churn example and the benchmark's pipelines as one project whose pools run no-ops. */
async function makeProject(root: string): Promise<ProjectConfig> {
  await mkdir(root, { recursive: true });
  await cp(path.join(repository, 'examples/churn'), path.join(root, 'examples/churn'), { recursive: true });
  await cp(path.join(repository, 'bench/pipelines.ts'), path.join(root, 'pipelines.ts'));
  const exported = [
    `export { churnTraining } from './examples/churn/pipelines/churn-training.js';`,
    `export { chain, fanOut, keptChain } from './pipelines.js';`,
  ];
  await writeFile(path.join(root, 'index.ts'), `${exported.join('\n')}\n`);
  await writeFile(path.join(root, 'anneal.yaml'), 'project: bench\npipelines: index.ts\n');
  const config = await loadConfig({ cwd: root, env: {} });
  return {
    ...config,
    pools: { cpu: { executor: 'noop', slots: 100, gpu: 0, gpuOptional: true } },
  };
}

interface AnnealWorkers {
  readonly config: ProjectConfig;
  readonly client: Client;
  readonly address: string;
  readonly stop: AbortController;
  readonly log: (line: string) => void;
}

async function startAnneal(
  { config, client, address, stop, log }: AnnealWorkers,
  running: Promise<unknown>[],
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const workers = runProjectWorkers({
      config,
      client,
      log,
      services: {},
      env: process.env,
      connection: { address },
      namespace: 'default',
      signal: stop.signal,
      onReady: () => resolve(),
    });
    workers.catch(reject);
    running.push(workers);
  });
}

async function bundleBaseline(): Promise<{ readonly code: string }> {
  return await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./baseline-workflows.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
}

async function startBaseline(
  workflowBundle: { readonly code: string },
  connection: NativeConnection,
  signal: AbortSignal,
): Promise<Promise<void>[]> {
  // The same room as Anneal's workers have, and no eager activities: a pool's are never eager.
  const workers = [
    await Worker.create({
      connection,
      taskQueue: 'baseline/flows',
      workflowBundle,
      activities: baselineLocalActivities,
      maxCachedWorkflows: 200,
      maxEagerActivityReservationsPerWorkflowTask: 0,
    }),
    await Worker.create({
      connection,
      taskQueue: 'baseline/work',
      activities: baselineActivities,
      maxConcurrentActivityTaskExecutions: 100,
    }),
  ];
  signal.addEventListener('abort', () => {
    for (const worker of workers) worker.shutdown();
  });
  return workers.map(async (worker) => await worker.run());
}

/** The workflow code of a build as a worker loads it. */
export async function readWorkflowCode(build: ProjectBuild): Promise<string> {
  return await readFile(path.join(build.dir, 'workflows.js'), 'utf8');
}
