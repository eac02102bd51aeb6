import { hasErrorCode } from '../adapters/file-store/store-errors.js';
import { AnnealError } from '../core/failures.js';
import { formatBytes } from '../core/quantity.js';
import type { AttemptFailure } from './attempt-failure.js';

/** What the shell before the command calls itself, so that its own complaints can be told from the command's. */
export const GATE_NAME = 'anneal-start';

/** What is started. */
export interface StartedCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: { readonly [name: string]: string };
}

/** Why the operating system started nothing: what is the user's to mend gets a code of its own. */
export function spawnFailure(error: unknown, command: StartedCommand): unknown {
  return hasErrorCode(error, 'E2BIG') ? new AnnealError('InvalidInput', tooLong(command)) : error;
}

/**
 * Why the command itself was never run, in the words of the shell before it: `exec` there ends with 126 or 127 and a line under
 * {@link GATE_NAME}. `undefined`: it ran.
 */
export function commandRefusal(
  step: string,
  exitCode: number | undefined,
  logTail: readonly string[],
): AttemptFailure | undefined {
  const line = exitCode === 126 || exitCode === 127 ? logTail.at(-1) : undefined;
  if (line === undefined || !line.startsWith(`${GATE_NAME}: `)) return undefined;
  // dash: "NAME: 1: exec: FILE: reason", bash: "NAME: line 1: FILE: reason".
  const said = line.slice(GATE_NAME.length + 2).replace(/^(line )?\d+: (exec: )?/, '');
  return {
    code: 'CommandNotFound',
    message: `Step "${step}": its command could not be started: ${said}. Give a program that is made for this machine and that its file system lets run, or correct command:.`,
  };
}

function tooLong({ file, args, env }: StartedCommand): string {
  const words = [file, ...args];
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const all = [...words, ...variables].map((text) => Buffer.byteLength(text) + 1);
  const most = Math.max(...all);
  const largest = all.indexOf(most);
  const what =
    largest < words.length
      ? `argument ${largest} of its command`
      : `the variable ${Object.keys(env)[largest - words.length] ?? ''} of its environment`;
  const total = all.reduce((sum, bytes) => sum + bytes, 0);
  return `its command and environment are longer (${formatBytes(total)}) than this machine can start; the longest part is ${what} (${formatBytes(most)}; Linux takes 128Ki in one part). Hand large values over as files: an input, or a parameter read from $ANNEAL_PARAMETERS_DIR.`;
}
