import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../src/activities/ports/activity-context.js';

/** The `mlflow` that tests start, if there is one. */
export const mlflowExecutable = process.env['ANNEAL_TEST_MLFLOW'];
/** Why tests on a real MLflow are skipped, or false. */
export const withoutMlflow =
  mlflowExecutable === undefined ? 'ANNEAL_TEST_MLFLOW does not name an mlflow executable' : false;

/** The time of day, for adapters. */
export const realClock: Clock = {
  nowMs: Date.now,
  sleep: async (ms, signal) => void (await delay(ms, undefined, { signal })),
};

/** A real MLflow server in a directory of its own. */
export interface RealMlflow {
  readonly url: string;
  /** An interpreter that has MLflow and scikit-learn: the server's own. */
  readonly python: string;
  /** For whatever the test needs; removed with the server. */
  readonly directory: string;
  stop(): Promise<void>;
}

/** How a server differs from the plain one. */
export interface RealMlflowOptions {
  /** Where artifacts are that do not pass through the server; default: its proxy. */
  readonly artifactRoot?: string;
  /** Where it listens: pods of the test cluster cannot reach the loopback address, which is the default. */
  readonly host?: string;
  /** More arguments of `mlflow server`. */
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
}

/** Starts the given `mlflow` executable on SQLite and waits until it is healthy. */
export async function startRealMlflow(
  executable: string,
  { artifactRoot, host = '127.0.0.1', args: more = [], env: set = {} }: RealMlflowOptions = {},
): Promise<RealMlflow> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'anneal-mlflow-')));
  const port = await findPort(host);
  const log = join(directory, 'server.log');
  const args = ['server', '--workers', '1', '--host', host, '--port', String(port)];
  const stores = [
    '--backend-store-uri',
    `sqlite:///${directory}/mlflow.db`,
    ...(artifactRoot === undefined
      ? ['--artifacts-destination', `${directory}/artifacts`]
      : ['--no-serve-artifacts', '--default-artifact-root', artifactRoot]),
  ];
  const { PYTHONDONTWRITEBYTECODE: _, ...env } = process.env;
  const child = spawn(executable, [...args, ...stores, ...more], {
    cwd: directory,
    detached: true,
    stdio: ['ignore', openSync(log, 'a'), openSync(log, 'a')],
    env: { ...env, MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false', MLFLOW_DISABLE_TELEMETRY: 'true', ...set },
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = `http://${host}:${port}`;
  const stop = async () => {
    // The server has workers of its own; all are in its group.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, 'SIGKILL');
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  for (const deadline = Date.now() + 120_000; ;) {
    const healthy = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (healthy) return { url, python: join(dirname(executable), 'python'), directory, stop };
    if (child.exitCode !== null || Date.now() > deadline) {
      const said = (await readFile(log, 'utf8')).slice(-2_000);
      await stop();
      throw new Error(`MLflow did not start:\n${said}`);
    }
    await delay(100);
  }
}

function findPort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
