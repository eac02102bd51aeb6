import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { userCacheDirectory } from '../dist/adapters/cache-directory.js';
import { runProgram } from '../dist/adapters/run-program.js';
import { findFreePort } from '../dist/local/free-port.js';
import { findTemporalCli } from '../dist/local/temporal-cli.js';
import { defineTemporalServer } from '../dist/local/temporal-server.js';

/** A development server of this benchmark alone. */
export interface BenchServer {
  readonly address: string;
  /** Version of the CLI that it is part of. */
  readonly version: string;
  stop(): Promise<void>;
}

/** Starts the development server as `npm start` does, on free ports and a database file in `directory`. */
export async function startTemporalServer(
  directory: string,
  env: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
): Promise<BenchServer> {
  const install = { cacheDirectory: userCacheDirectory(env), env, run: runProgram, onProgress };
  const source = await findTemporalCli(install);
  if (source.kind === 'external')
    throw new Error('The benchmark starts a server of its own: unset TEMPORAL_ADDRESS.');
  const port = await findFreePort([]);
  const ports = { port, uiPort: await findFreePort([], [port]) };
  const server = defineTemporalServer({ cli: source.path, directory, defaultPorts: ports }, install);
  const command = await server.prepare(ports);
  const child = spawn(command.file, command.args, { env: command.env, cwd: command.cwd, stdio: 'ignore' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  const deadline = performance.now() + server.healthTimeoutMs;
  while (!(await server.isHealthy(ports))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(
        `Temporal's development server did not start (exit code ${child.exitCode ?? 'none yet'}).`,
      );
    }
    await delay(100);
  }
  return { address: `127.0.0.1:${port}`, version: source.version, stop };
}
