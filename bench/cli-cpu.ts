import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../dist/adapters/run-program.js';
import { toSample, type Sample } from './sample.js';

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const preload = fileURLToPath(new URL('./cpu-at-exit.cjs', import.meta.url));

/** CPU milliseconds, user and system, of `anneal --help`, Node's own start included; undefined before the CLI is compiled. */
export async function measureHelp(rounds: number): Promise<Sample | undefined> {
  if (!existsSync(main)) return undefined;
  return toSample(await times(rounds, ['--require', preload, main, '--help']));
}

/** The same for a program that does nothing: what Node takes by itself. */
export async function measureBareNode(rounds: number): Promise<Sample> {
  return toSample(await times(rounds, ['--require', preload, '--eval', '0']));
}

async function times(rounds: number, args: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const { stderr } = await runProgram({
      file: process.execPath,
      args: [...args],
      env: process.env,
      timeoutMs: 30_000,
    });
    found.push(Number(stderr.split('\n').at(-1)));
  }
  return found;
}
