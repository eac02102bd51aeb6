import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { findPython } from '../adapters/find-python.js';
import type { InstallDeps } from '../adapters/pinned-tool.js';
import { ensurePythonEnvironment } from '../adapters/python-environment.js';
import type { ServerDefinition, ServerPorts } from './server-process.js';

/** What the definition of the MLflow server depends on. */
export interface MlflowServerOptions {
  /** Where the database and the artifacts are. */
  readonly directory: string;
  readonly defaultPorts: ServerPorts;
}

/** MLflow with SQLite and its artifact proxy, in one worker. */
export function defineMlflowServer(
  { directory, defaultPorts }: MlflowServerOptions,
  deps: InstallDeps,
): ServerDefinition {
  return {
    name: 'mlflow',
    label: 'MLflow',
    defaultPorts,
    healthTimeoutMs: 120_000,
    prepare: async ({ port }) => {
      const [file, ...args] = await findMlflow(deps);
      return {
        file,
        args: [...args, ...buildServerArgs(port)],
        env: buildServerEnvironment(deps.env),
        cwd: directory,
      };
    },
    isHealthy: async ({ port }) => await answersOk(`http://127.0.0.1:${port}/health`),
  };
}

/** How to call MLflow: the executable at `ANNEAL_MLFLOW_CLI`, else the locked environment, made when it is missing. */
export async function findMlflow(deps: InstallDeps): Promise<[string, ...string[]]> {
  const set = deps.env['ANNEAL_MLFLOW_CLI'];
  if (set) return [set];
  const python = await findPython(deps);
  const environment = await ensurePythonEnvironment(
    { requirements: LOCK, python, label: 'MLflow server' },
    deps,
  );
  // Not bin/mlflow: the first line of a script breaks where the path has spaces or is long.
  return [environment.python, '-m', 'mlflow'];
}

const LOCK = fileURLToPath(new URL('../../python/mlflow-server.txt', import.meta.url));

function buildServerArgs(port: number): string[] {
  const network = ['--host', '127.0.0.1', '--port', String(port)];
  // Relative to the working folder: a path with `?`, `#` or `%` in it is not a URI.
  const storage = [
    '--backend-store-uri',
    'sqlite:///mlflow.db',
    '--artifacts-destination',
    `.${path.sep}artifacts`,
  ];
  return ['server', ...network, '--workers', '1', ...storage];
}

function buildServerEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  // Every option of `mlflow server` is also a variable, and without bytecode a start takes 13 s instead of 5 s.
  const dropped = /^(_?MLFLOW_|PYTHONDONTWRITEBYTECODE$|PYTHONPATH$|PYTHONHOME$)/;
  const kept = Object.entries(env).filter(([name]) => !dropped.test(name));
  return {
    ...Object.fromEntries(kept),
    // The job runner is four more processes, 0.9 GB, for features that Anneal does not use.
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
    MLFLOW_DISABLE_TELEMETRY: 'true',
    DO_NOT_TRACK: 'true',
  };
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
