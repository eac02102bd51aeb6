import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { until } from '../system/support/until.js';

/** A worker that may be killed at any time. */
export interface CrashWorker {
  readonly pid: number;
  isAlive(): boolean;
  output(): string;
}

/** Makes workers. While one lives, the next has loaded its code and waits: a death then costs no seconds. */
export interface WorkerSupply {
  /** A fresh worker that takes work, or is dead again. */
  next(): Promise<CrashWorker>;
  close(): Promise<void>;
}

const FAILPOINTS = new URL('failpoints.mjs', import.meta.url).href;
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const WORKERS = new URL('../../dist/workers/project-workers.js', import.meta.url).href;

/** Workers of the compiled command line, `anneal worker`. */
export function createWorkerSupply(root: string, env: NodeJS.ProcessEnv): WorkerSupply {
  let standby: Standby | undefined;
  return {
    next: async () => {
      const { child, output } = standby ?? standBy(root, env);
      standby = undefined;
      child.stdin.end('go\n');
      const isAlive = () => isRunning(child);
      await until('the worker takes work', () => {
        if (!isAlive() && child.signalCode !== 'SIGKILL') throw new Error(`The worker ended:\n${output()}`);
        return output().includes('takes work') || !isAlive();
      });
      standby = standBy(root, env);
      if (child.pid === undefined) throw new Error('The worker could not be started.');
      return { pid: child.pid, isAlive, output };
    },
    close: async () => {
      const child = standby?.child;
      if (child === undefined || !isRunning(child)) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

interface Standby {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly output: () => string;
}

function standBy(root: string, env: NodeJS.ProcessEnv): Standby {
  const child = spawn(process.execPath, ['--import', FAILPOINTS, CLI, 'worker', '--project', root], {
    env: { ...env, LOG_LEVEL: 'info', ANNEAL_CRASHPOINTS_READY: WORKERS },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdin.on('error', () => undefined);
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => void (text += chunk));
  return { child, output: () => text };
}

function isRunning({ exitCode, signalCode }: Standby['child']): boolean {
  return exitCode === null && signalCode === null;
}
