import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { withProcessLock } from './process-lock.js';
import type { PythonInterpreter } from './find-python.js';
import type { RunProgram } from './run-program.js';
import { lastLines, saysNoNetwork, SetupError } from './setup-error.js';

/** What every installer here needs: where to put things, how to run programs, whom to tell. */
export interface InstallDeps {
  readonly cacheDirectory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly run: RunProgram;
  readonly onProgress: (line: string) => void;
}

/** A program that comes as a wheel: `requirements` is the path of its hashed lock. */
export interface PinnedTool {
  readonly name: string;
  readonly requirements: string;
  readonly python: PythonInterpreter;
}

/**
 * The path of a program from a pinned and hashed wheel, installed once into the cache directory.
 *
 * @throws SetupError when the package index cannot be reached, or has no wheel for this platform.
 */
export async function installPinnedTool(tool: PinnedTool, deps: InstallDeps): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(tool.requirements))
    .digest('hex')
    .slice(0, 16);
  const directory = path.join(
    deps.cacheDirectory,
    'tools',
    `${tool.name}-${digest}-${process.platform}-${process.arch}`,
  );
  const executable = path.join(directory, 'bin', tool.name);
  if (await isExecutable(executable)) return executable;
  const lock = path.join(deps.cacheDirectory, 'locks', path.basename(directory));
  return await withProcessLock({ directory: lock }, async () => {
    if (await isExecutable(executable)) return executable;
    const startedAt = performance.now();
    const pip = await findPip(tool.python, deps);
    const staging = `${directory}.tmp`;
    await rm(staging, { recursive: true, force: true });
    const result = await deps.run({
      file: pip[0],
      args: [...pip.slice(1), ...installArgs(tool, staging)],
      env: pipEnvironment(deps.env),
    });
    if (result.code !== 0) throw installFailure(tool.name, result.stderr + result.stdout);
    await rm(directory, { recursive: true, force: true });
    await rename(staging, directory);
    deps.onProgress(`${tool.name} installed (${seconds(startedAt)})`);
    return executable;
  });
}

/**
 * How to call pip: the interpreter's own, or, as Debian ships Python without it, one in a virtual environment in the cache.
 *
 * @throws SetupError when the interpreter has neither pip nor venv.
 */
export async function findPip(python: PythonInterpreter, deps: InstallDeps): Promise<[string, ...string[]]> {
  const own = await deps.run({ file: python.executable, args: ['-m', 'pip', '--version'], env: deps.env });
  if (own.code === 0) return [python.executable, '-m', 'pip'];
  const key = createHash('sha256').update(python.executable).digest('hex').slice(0, 8);
  const directory = path.join(deps.cacheDirectory, 'tools', `pip-${python.version}-${key}`);
  const venvPython = path.join(directory, 'bin', 'python');
  return await withProcessLock(
    { directory: path.join(deps.cacheDirectory, 'locks', path.basename(directory)) },
    async () => {
      const working = await deps.run({ file: venvPython, args: ['-m', 'pip', '--version'], env: deps.env });
      if (working.code !== 0) await createVenv(python, directory, deps);
      return [venvPython, '-m', 'pip'];
    },
  );
}

/**
 * Makes a virtual environment with pip in it, in place of whatever is there.
 *
 * @throws SetupError when the interpreter cannot (Debian without `python3-venv`).
 */
export async function createVenv(
  python: PythonInterpreter,
  directory: string,
  deps: InstallDeps,
): Promise<void> {
  await mkdir(path.dirname(directory), { recursive: true });
  const result = await deps.run({
    file: python.executable,
    args: ['-m', 'venv', '--clear', directory],
    env: deps.env,
  });
  if (result.code === 0) return;
  await rm(directory, { recursive: true, force: true });
  const next = /ensurepip/.test(result.stdout + result.stderr)
    ? 'Install it (Debian, Ubuntu: apt install python3-venv)'
    : 'Repair it';
  throw new SetupError(
    `Python ${python.version} at ${python.executable} could not make a virtual environment: its venv module is missing or broken. ` +
      `${next}, or set ANNEAL_PYTHON to another interpreter.${lastLines(result.stdout + result.stderr, 3)}`,
  );
}

/** The environment without what would make Python or pip install somewhere else, or run other code, and without the project's secrets. */
export function pipEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const dropped = new Set([
    'PYTHONPATH',
    'PYTHONHOME',
    'PIP_TARGET',
    'PIP_PREFIX',
    'PIP_USER',
    'PIP_REQUIREMENT',
    'VIRTUAL_ENV',
    'PYTHONDONTWRITEBYTECODE',
  ]);
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !dropped.has(name) && !IS_SECRET.test(name)),
  );
}

/** An installer runs code of packages, which needs none of these. */
const IS_SECRET = /^(ANNEAL_SECRET_|ANNEAL_SMTP_URL$|MLFLOW_TRACKING_(USERNAME|PASSWORD|TOKEN|URI)$)/;

/** Turns an installer's output into one sentence: no network, or the last lines of what it said. */
export function installFailure(what: string, output: string): SetupError {
  const next = 'Connect to the network, or set PIP_INDEX_URL to a mirror, then try again.';
  if (saysNoNetwork(output)) {
    return new SetupError(`Could not fetch ${what}: the Python package index cannot be reached. ${next}`);
  }
  // With its retries used up or turned off, pip says no more than this about an index that does not answer.
  const unknown = /No matching distribution found for (\S+)/.exec(output)?.[1];
  if (unknown !== undefined && output.includes('(from versions: none)')) {
    const platform = `${process.platform}-${process.arch}`;
    return new SetupError(
      `Could not fetch ${what}: the Python package index cannot be reached, or has no ${unknown} for this Python on ${platform}. ${next}`,
    );
  }
  return new SetupError(`Could not install ${what}. The installer said:${lastLines(output)}`);
}

/** Seconds since a `performance.now()`, as `1.2 s`. */
export function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}

function installArgs(tool: PinnedTool, target: string): string[] {
  const flags = [
    '--quiet',
    '--disable-pip-version-check',
    '--no-input',
    '--no-deps',
    '--only-binary=:all:',
    '--require-hashes',
  ];
  return ['install', ...flags, '--target', target, '--requirement', tool.requirements];
}

async function isExecutable(file: string): Promise<boolean> {
  return await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
