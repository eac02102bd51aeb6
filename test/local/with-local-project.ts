import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { findFreePort } from '../../src/local/free-port.js';
import { startLocalServers, stopLocalServers } from '../../src/local/local-servers.js';
import type { LocalServices } from '../../src/local/local-servers.js';

/** A project folder with fake servers, on ports that were free a moment ago. */
export interface LocalProject {
  readonly stateDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly ports: { temporal: { port: number; uiPort: number }; mlflow: { port: number } };
  /** What the last start said. */
  readonly progress: string[];
  start(env?: NodeJS.ProcessEnv): Promise<LocalServices>;
  /** The pids of all servers of that name that were ever started. */
  starts(name: 'temporal' | 'mlflow'): Promise<number[]>;
}

const fake = (name: string) => fileURLToPath(new URL(`./fakes/${name}.mjs`, import.meta.url));

/** Makes a project in a folder whose name has a space, and stops and removes everything afterwards. */
export async function withLocalProject(work: (project: LocalProject) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal local '));
  const stateDir = path.join(directory, '.anneal', 'local');
  const port = await findFreePort([]);
  const uiPort = await findFreePort([], [port]);
  const ports = { temporal: { port, uiPort }, mlflow: { port: await findFreePort([], [port, uiPort]) } };
  const env = {
    PATH: process.env['PATH'],
    HOME: directory,
    ANNEAL_TEMPORAL_CLI: fake('temporal'),
    ANNEAL_MLFLOW_CLI: fake('mlflow'),
  };
  const progress: string[] = [];
  const project: LocalProject = {
    stateDir,
    env,
    ports,
    progress,
    start: async (extra = {}) => {
      progress.length = 0;
      const onProgress = (line: string) => void progress.push(line);
      return await startLocalServers({ stateDir, env: { ...env, ...extra }, ports, onProgress });
    },
    starts: async (name) => {
      const text = await readFile(path.join(stateDir, name, 'starts'), 'utf8').catch(() => '');
      return text.split('\n').filter(Boolean).map(Number);
    },
  };
  try {
    await work(project);
  } finally {
    await stopLocalServers({ stateDir });
    await rm(directory, { recursive: true, force: true });
  }
}
