import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The interpreter with the packages of examples/churn/requirements.txt; empty where there is none. */
export const python = process.env['ANNEAL_TEST_PYTHON'] ?? '';
export const example = fileURLToPath(new URL('../../../examples/churn/', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** Resolves when the output holds `text`; rejects when the process ends without it. */
  readonly prints: (text: string) => Promise<void>;
}

export function step(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Started {
  return start([join(example, 'steps', script), ...args], env);
}

export async function succeed(script: string, args: readonly string[]): Promise<Outcome> {
  const outcome = await step(script, args).ended;
  assert.equal(
    outcome.code,
    0,
    `${script} ended with ${String(outcome.code ?? outcome.signal)}\n${outcome.output}`,
  );
  return outcome;
}

export function start(args: readonly string[], extra: NodeJS.ProcessEnv = {}): Started {
  const {
    MLFLOW_TRACKING_URI: _uri,
    ANNEAL_CHECKPOINT_DIR: _checkpoints,
    ANNEAL_METRICS_STREAM: _stream,
    ...env
  } = process.env;
  const child = spawn(python, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, MLFLOW_DISABLE_TELEMETRY: 'true', CUDA_VISIBLE_DEVICES: '', ...extra },
  });
  let output = '';
  const listeners = new Set<() => void>();
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    listeners.forEach((listener) => {
      listener();
    });
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, output });
    });
  });
  const prints = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      listeners.add(look);
      look();
      ended.then(({ output: all }) => {
        reject(new Error(`The process ended without printing "${text}":\n${all}`));
      }, reject);
    });
  return { child, ended, prints };
}
