import { spawn } from 'node:child_process';

/** One program to run, as an argument vector: no shell ever sees a value. */
export interface Program {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** What a program left behind. `code` is null when it could not be started or was ended by a signal. */
export interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export type RunProgram = (program: Program) => Promise<ProgramResult>;

/** Runs a program to its end and collects its output; never throws: a missing program is `code: null` with the reason in stderr. */
export async function runProgram(program: Program): Promise<ProgramResult> {
  return await new Promise((resolve) => {
    const child = spawn(program.file, program.args, {
      ...(program.env === undefined ? {} : { env: program.env }),
      ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // Not spawn's own `timeout`: its timer outlives a program that could not be started, and keeps us from ending.
    const timer =
      program.timeoutMs === undefined
        ? undefined
        : setTimeout(() => child.kill('SIGKILL'), program.timeoutMs);
    const settle = (result: ProgramResult) => {
      clearTimeout(timer);
      resolve(result);
    };
    const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString('utf8');
    child.once('error', (error) => settle({ code: null, stdout: text(stdout), stderr: error.message }));
    child.once('close', (code) => settle({ code, stdout: text(stdout), stderr: text(stderr) }));
  });
}
