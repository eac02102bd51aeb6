import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import path from 'node:path';

import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { CommandToken } from '../core/step.js';
import { hasNoPath, mountedPath } from './mounted-inputs.js';
import { checkName } from './prepare-attempt.js';

/** The step's command as an argument vector, with paths and URIs put in; its first argument is an absolute path. */
export async function buildCommandLine(
  deps: { readonly store: ArtifactStore; readonly spec: AttemptSpec; readonly paths: AttemptPaths },
  env: { readonly [name: string]: string },
): Promise<{ readonly file: string; readonly args: readonly string[] }> {
  const [program, ...args] = deps.spec.request.command.map((argument) =>
    typeof argument === 'string'
      ? argument
      : argument.map((piece) => (typeof piece === 'string' ? piece : resolveToken(deps, piece))).join(''),
  );
  if (program === undefined || program === '')
    throw new AnnealError('CommandNotFound', 'its command is empty. Give command: at least one argument.');
  return { file: await resolveProgram(program, { path: env['PATH'] ?? '', cwd: deps.paths.work }), args };
}

function resolveToken(
  {
    store,
    spec,
    paths,
  }: { readonly store: ArtifactStore; readonly spec: AttemptSpec; readonly paths: AttemptPaths },
  token: CommandToken,
): string {
  const { request, name } = spec;
  if ('output' in token) {
    const output = checkName('output', token.output);
    return token.as === 'path'
      ? path.join(paths.outputs, output)
      : store.uriOf(storeKeys.output(request.executionId, name, output));
  }
  const ref = request.inputs[token.input];
  if (ref === undefined)
    throw new AnnealError(
      'InvalidInput',
      `its command names the input "${token.input}", which the call does not have.`,
    );
  if (token.as === 'uri') return ref.uri;
  const access = request.access?.[token.input];
  if (access === 'mount') return mountedPath(token.input, ref);
  if (access === 'stream') throw hasNoPath(token.input);
  return path.join(paths.inputs, token.input);
}

/** @throws AnnealError CommandNotFound, naming the program and where it was looked for. */
async function resolveProgram(
  program: string,
  where: { readonly path: string; readonly cwd: string },
): Promise<string> {
  if (program.includes('/')) {
    const file = path.resolve(where.cwd, program);
    const problem = await whyNotRunnable(file);
    if (problem === undefined) return file;
    throw new AnnealError(
      'CommandNotFound',
      `its command "${program}" ${problem}. Add it to code: of the step, or correct command:.`,
    );
  }
  let found: string | undefined;
  for (const folder of where.path.split(path.delimiter).filter((entry) => entry !== '')) {
    const file = path.resolve(where.cwd, folder, program);
    const problem = await whyNotRunnable(file);
    if (problem === undefined) return file;
    if (problem !== ABSENT) found = `"${file}" ${problem}`;
  }
  throw new AnnealError(
    'CommandNotFound',
    `its command "${program}" is not on the PATH of this machine (${where.path})${found === undefined ? '' : `; ${found}`}. Install it, or correct command:.`,
  );
}

const ABSENT = 'does not exist';

async function whyNotRunnable(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return ABSENT;
  if (!found.isFile()) return 'is not a file';
  const executable = await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!executable) return 'is not executable (chmod +x; or its file system is mounted noexec)';
  return await whyNotStartable(file);
}

/** A script whose interpreter is missing: the system would say that the script itself is not there. */
async function whyNotStartable(file: string): Promise<string | undefined> {
  const head = await readHead(file).catch(() => Buffer.alloc(0));
  if (head.subarray(0, 2).toString('latin1') !== '#!') return undefined;
  const line = head.subarray(2).toString('utf8').split('\n', 1)[0] ?? '';
  const interpreter = /^[ \t]*([^ \t]+)/.exec(line)?.[1];
  if (interpreter === undefined) return undefined;
  if (interpreter.endsWith('\r') || line.endsWith('\r'))
    return 'has Windows line ends, so that its first line names no program (save it with LF line ends)';
  const found = await stat(interpreter).catch(() => undefined);
  return found === undefined
    ? `needs ${interpreter}, which does not exist on this machine (its first line, #!, names it)`
    : undefined;
}

const HEAD_BYTES = 256;

async function readHead(file: string): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
