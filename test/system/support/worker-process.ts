import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { until } from './until.js';

const CLI = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

/** A command of the CLI as a real process. */
export interface CliProcess {
  readonly pid: number;
  /** What it wrote until now, standard error included. */
  output(): string;
  /** Its standard output alone. */
  document(): string;
  kill(signal: NodeJS.Signals): void;
  /** How it ended; waits for that. */
  exited(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  hasExited(): boolean;
}

/** Starts `anneal <args>` of the compiled package. */
export function spawnCli(args: readonly string[], env: NodeJS.ProcessEnv): CliProcess {
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { pid } = child;
  if (pid === undefined) throw new Error('The CLI could not be started.');
  const chunks: string[] = [];
  const document: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    chunks.push(text);
    document.push(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => void chunks.push(text));
  return {
    pid,
    output: () => chunks.join(''),
    document: () => document.join(''),
    kill: (signal) => void child.kill(signal),
    exited: async () => await exitOf(child),
    hasExited: () => isOver(child),
  };
}

/** Starts a worker of a project and waits until it takes work. */
export async function startWorkerProcess(root: string, env: NodeJS.ProcessEnv): Promise<CliProcess> {
  const worker = spawnCli(['worker', '--project', root], env);
  await until('the worker takes work', () => {
    if (worker.hasExited()) throw new Error(`The worker ended:\n${worker.output()}`);
    return worker.output().includes('takes work');
  });
  return worker;
}

async function exitOf(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  if (!isOver(child)) await new Promise((resolve) => child.once('close', resolve));
  return { code: child.exitCode, signal: child.signalCode };
}

function isOver(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
