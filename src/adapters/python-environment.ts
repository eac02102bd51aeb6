import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { withProcessLock } from './process-lock.js';
import type { PythonInterpreter } from './find-python.js';
import { createVenv, installFailure, installPinnedTool, pipEnvironment, seconds } from './pinned-tool.js';
import type { InstallDeps } from './pinned-tool.js';
import { SetupError } from './setup-error.js';

/** One environment to have: the path of a lock with hashes, and the interpreter that it is made with. */
export interface PythonEnvironmentSpec {
  readonly requirements: string;
  readonly python: PythonInterpreter;
  /** What it is for, in progress lines and errors; default the lock's file name. */
  readonly label?: string;
}

/** A complete environment. `key` depends on the lock's content, the interpreter's version and the platform, and nothing else. */
export interface PythonEnvironment {
  readonly python: string;
  readonly bin: string;
  readonly key: string;
}

/**
 * The environment of a lock, from the cache directory or built there, by uv where it can be had, else by venv and pip.
 *
 * Environments hold absolute paths, so one is built where it stays, under a lock between processes, and marked complete last:
 * a half-built one is built again.
 *
 * @throws SetupError when the lock cannot be read, has no hashes, or cannot be installed.
 */
export async function ensurePythonEnvironment(
  spec: PythonEnvironmentSpec,
  deps: InstallDeps,
): Promise<PythonEnvironment> {
  const lock = await readLock(spec.requirements);
  const key = environmentKey(lock, spec.python.version);
  const directory = path.join(deps.cacheDirectory, 'environments', key);
  const bin = path.join(directory, 'bin');
  const environment = { python: path.join(bin, 'python'), bin, key };
  if (await isComplete(directory, environment.python, deps)) return environment;
  const label = spec.label ?? path.basename(spec.requirements);
  const onWait = (pid: number) =>
    deps.onProgress(`Python environment ${label}: waiting for process ${pid}, which is building it`);
  await withProcessLock({ directory: path.join(deps.cacheDirectory, 'locks', key), onWait }, async () => {
    if (await isComplete(directory, environment.python, deps)) return;
    const startedAt = performance.now();
    deps.onProgress(`Python environment ${label}: installing`);
    const builder = await build({ spec, directory, label }, deps);
    await writeFile(
      path.join(directory, MARKER),
      `${JSON.stringify({ key, builder, lock: path.basename(spec.requirements) })}\n`,
    );
    deps.onProgress(`Python environment ${label}: ready (${builder}, ${seconds(startedAt)})`);
  });
  return environment;
}

/** The key of an environment; part of a step's cache key. */
export function environmentKey(lock: string, pythonVersion: string): string {
  const parts = ['anneal-environment-1', lock, pythonVersion, process.platform, process.arch];
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);
}

/** The path of uv: `ANNEAL_UV`, one on PATH, or the pinned wheel. `undefined` when it cannot be had, which is no error. */
export async function ensureUv(python: PythonInterpreter, deps: InstallDeps): Promise<string | undefined> {
  const set = deps.env['ANNEAL_UV'];
  if (set === 'off') return undefined;
  for (const file of set === undefined || set === '' ? ['uv'] : [set]) {
    if ((await deps.run({ file, args: ['--version'], env: deps.env })).code === 0) return file;
  }
  try {
    return await installPinnedTool({ name: 'uv', requirements: UV_LOCK, python }, deps);
  } catch (error) {
    if (error instanceof SetupError) return undefined;
    throw error;
  }
}

const MARKER = '.anneal-complete';
const UV_LOCK = fileURLToPath(new URL('../../python/uv.txt', import.meta.url));

interface Build {
  readonly spec: PythonEnvironmentSpec;
  readonly directory: string;
  readonly label: string;
}

async function readLock(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new SetupError(
      `Cannot read the Python requirements ${file}: ${error instanceof Error ? error.message : String(error)}.`,
    );
  });
  if (/^[A-Za-z0-9]/m.test(text) && !text.includes('--hash=')) {
    throw new SetupError(
      `The Python requirements ${file} have no hashes, so what they install could change. ` +
        'Make a lock: uv pip compile --universal --generate-hashes requirements.in -o requirements.txt',
    );
  }
  return text;
}

/** The marker alone is not enough: the interpreter that the environment links to may have been upgraded or removed since. */
async function isComplete(directory: string, python: string, { run, env }: InstallDeps): Promise<boolean> {
  const marker = await readFile(path.join(directory, MARKER), 'utf8').catch(() => undefined);
  if (marker === undefined) return false;
  return (await run({ file: python, args: ['-I', '-S', '-c', ''], env })).code === 0;
}

async function build({ spec, directory, label }: Build, deps: InstallDeps): Promise<'uv' | 'pip'> {
  // An installer that was killed with its worker may still be writing its last file.
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  const uv = await ensureUv(spec.python, deps);
  if (uv !== undefined) {
    const failure = await buildWithUv(uv, { spec, directory, label }, deps);
    if (failure === undefined) return 'uv';
    // uv does not read pip's configuration (mirrors, certificates), so pip may succeed where uv failed.
    deps.onProgress(`Python environment ${label}: uv could not build it, trying pip (a minute)`);
  }
  await createVenv(spec.python, directory, deps);
  const pip = [path.join(directory, 'bin', 'python'), '-m', 'pip'] as const;
  const flags = ['--quiet', '--disable-pip-version-check', '--no-input', '--require-hashes'];
  const result = await deps.run({
    file: pip[0],
    args: [...pip.slice(1), 'install', ...flags, '--requirement', spec.requirements],
    env: pipEnvironment(deps.env),
  });
  if (result.code !== 0) throw installFailure(`the packages of ${label}`, result.stderr + result.stdout);
  return 'pip';
}

async function buildWithUv(
  uv: string,
  { spec, directory }: Build,
  deps: InstallDeps,
): Promise<string | undefined> {
  const index = deps.env['UV_DEFAULT_INDEX'] ?? deps.env['UV_INDEX_URL'] ?? deps.env['PIP_INDEX_URL'];
  const env = {
    ...pipEnvironment(deps.env),
    UV_PYTHON_DOWNLOADS: 'never',
    UV_NO_PROGRESS: '1',
    ...(index === undefined ? {} : { UV_DEFAULT_INDEX: index }),
  };
  // The working folder is the cache's, so that a uv.toml or pyproject.toml of the user's project has no say.
  const cwd = deps.cacheDirectory;
  const venv = await deps.run({
    file: uv,
    args: ['venv', '--quiet', '--python', spec.python.executable, directory],
    env,
    cwd,
  });
  if (venv.code !== 0) return venv.stderr;
  const target = ['--python', path.join(directory, 'bin', 'python')];
  const requirements = ['--require-hashes', '--requirement', path.resolve(spec.requirements)];
  const installed = await deps.run({
    file: uv,
    args: ['pip', 'install', '--quiet', ...target, ...requirements],
    env,
    cwd,
  });
  return installed.code === 0 ? undefined : installed.stderr;
}
