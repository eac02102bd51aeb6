import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';

import { userCacheDirectory } from '../../src/adapters/cache-directory.js';
import { endProcess } from '../../src/adapters/process-identity.js';
import { runProgram } from '../../src/adapters/run-program.js';
import { openProject } from '../../src/cli/open-project.js';
import { runCli } from '../../src/cli/run-cli.js';
import { connectTemporal } from '../../src/client/index.js';
import { loadConfig } from '../../src/config/load-config.js';
import { projectPaths, type ProjectPaths } from '../../src/config/project-paths.js';
import { stopLocalServers } from '../../src/local/local-servers.js';
import { ensureServer } from '../../src/local/server-process.js';
import { findTemporalCli } from '../../src/local/temporal-cli.js';
import { defineTemporalServer } from '../../src/local/temporal-server.js';
import { ensureWorkerProcess, stopWorkerProcess, waitForWorker } from '../../src/local/worker-process.js';
import { makeCurrent, readCurrent } from '../../src/workers/current-build.js';
import { endLocalAttempts } from '../../src/workers/end-local-attempts.js';
import { createDataConverter, openStore } from '../../src/workers/open-store.js';
import { spawnCli, type CliProcess } from '../system/support/worker-process.js';
import { writeDeskProject } from './desk-project.js';

/** What a command line answered. */
export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly document: () => Record<string, unknown>;
  /** The document of a command that answers with a list. */
  readonly list: () => readonly Record<string, unknown>[];
}

/** The desk project with a real Temporal server, and a worker in the background as `anneal up` starts it. Runs are not tracked. */
export interface DeskWorld {
  readonly root: string;
  readonly paths: ProjectPaths;
  readonly temporal: Client;
  /** A command line in this process, on the real project. */
  cli(argv: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<Answer>;
  /** The same as a program. */
  spawn(...argv: string[]): CliProcess;
  startWorker(): Promise<{ readonly pid: number; kill(): Promise<void> }>;
  close(): Promise<void>;
}

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Starts the server and builds the project; `variables` are added to the environment of commands and worker. */
export async function startDeskWorld(variables: NodeJS.ProcessEnv = {}): Promise<DeskWorld> {
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal desk '));
  await writeDeskProject(root);
  const env = { ...testEnvironment(), ...variables };
  const paths = projectPaths(await loadConfig({ cwd: root, env }));
  const spawn = (...argv: string[]) => spawnCli([...argv, '--project', root], env);
  try {
    const [address, build] = await Promise.all([startTemporal(paths, env), buildProject(spawn)]);
    await makeCurrent(paths.buildsDir, build);
    const connected = await connectTemporal({
      connection: { address },
      namespace: 'default',
      dataConverter: createDataConverter(openStore(paths)),
    });
    return {
      root,
      paths,
      spawn,
      temporal: connected.client,
      cli: async (argv, options) => await answer([...argv, '--project', root], { env, ...options }),
      startWorker: async () => await startWorker({ root, env, paths, build }),
      close: async () => {
        await connected.close();
        await stopAll(paths);
        await rm(root, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await stopAll(paths);
    await rm(root, { recursive: true, force: true });
    throw error;
  }
}

async function stopAll(paths: ProjectPaths): Promise<void> {
  await stopWorkerProcess(paths.stateDir);
  await endLocalAttempts(paths, { graceMs: 0 });
  await stopLocalServers({ stateDir: paths.stateDir });
}

/** The user's own servers stay out of it. */
export function testEnvironment(): NodeJS.ProcessEnv {
  const { ANNEAL_TEST_TEMPORAL: temporal, ...rest } = process.env;
  const own = Object.entries(rest).filter(
    ([name]) => !/^(TEMPORAL_|MLFLOW_|CI$|NODE_TEST_CONTEXT$)/.test(name),
  );
  return { ...Object.fromEntries(own), ...(temporal === undefined ? {} : { ANNEAL_TEMPORAL_CLI: temporal }) };
}

/** A server whose data is below `stateDir`; `stopLocalServers` ends it. @returns its address. */
export async function startTemporal(
  { stateDir }: Pick<ProjectPaths, 'stateDir'>,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const onProgress = () => undefined;
  const deps = { cacheDirectory: userCacheDirectory(env), env, run: runProgram, onProgress };
  const directory = path.join(stateDir, 'temporal');
  await mkdir(directory, { recursive: true });
  const source = await findTemporalCli(deps);
  if (source.kind === 'external') throw new Error('The tests use a server of their own.');
  const first = 23_000 + (process.pid % 1_000) * 10;
  const server = defineTemporalServer(
    { cli: source.path, directory, defaultPorts: { port: first, uiPort: first + 1 } },
    deps,
  );
  const { record } = await ensureServer(server, { stateDir, onProgress });
  return `127.0.0.1:${record.port}`;
}

async function buildProject(spawn: DeskWorld['spawn']): Promise<string> {
  const made = spawn('build', '--json');
  const { code } = await made.exited();
  if (code !== 0) throw new Error(`anneal build failed:\n${made.output()}`);
  return (JSON.parse(made.document()) as { digest: string }).digest;
}

interface WorkerSetting {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  readonly paths: ProjectPaths;
  readonly build: string;
}

async function startWorker({ root, env, paths, build }: WorkerSetting): ReturnType<DeskWorld['startWorker']> {
  const { stateDir } = paths;
  // The pool "gpu" has no worker, ever: the server takes minutes to forget one.
  const args = [CLI, 'worker', '--project', root, '--pools', 'cpu,pipelines'];
  const command = { file: process.execPath, args, env, cwd: root };
  const worker = await ensureWorkerProcess({ stateDir, settings: 'the only ones', command });
  // `run` may have made another one current: that of the code of Anneal as the tests run it.
  const current = (await readCurrent(paths.buildsDir)) ?? build;
  await waitForWorker(stateDir, { worker, build: current, signal: AbortSignal.timeout(60_000) });
  return {
    pid: worker.process.pid,
    kill: async () => void (await endProcess(worker.process, { graceMs: 0 })),
  };
}

async function answer(
  argv: readonly string[],
  { env, signal }: { readonly env: NodeJS.ProcessEnv; readonly signal?: AbortSignal },
): Promise<Answer> {
  const written = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({ write: (text: string) => void (written[name] += text) });
  const code = await runCli(argv, {
    stdout: stream('out'),
    stderr: stream('err'),
    env,
    cwd: tmpdir(),
    nowMs: () => Date.now(),
    openProject,
    interruptible: async (work) => await work(signal ?? new AbortController().signal),
  });
  return {
    code,
    ...written,
    document: () => JSON.parse(written.out) as Record<string, unknown>,
    list: () => JSON.parse(written.out) as Record<string, unknown>[],
  };
}
