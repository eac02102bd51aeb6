import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { runProgram } from '../../adapters/run-program.js';
import { projectPaths } from '../../config/project-paths.js';
import type { ProjectConfig } from '../../config/project-config.js';
import { digestOf } from '../../core/digest.js';
import { readUnchangedInputs, writeInputs } from './build-inputs.js';
import { BUILD_VERSION } from './build-manifest.js';
import type { Build } from './build-manifest.js';
import { makeParts } from './build-parts.js';
import { readCodeOrigin } from './code-origin.js';
import { loadBuild } from './load-build.js';
import { locateOwnModules } from './own-modules.js';
import { updateOrigin, writeBuild } from './write-build.js';

const ABANDONED_MS = 3_600_000;

/** What {@link buildProject} takes. */
export interface BuildOptions {
  readonly config: ProjectConfig;
  /** Told what is being done, in a few words, for a person who waits. */
  readonly onProgress?: (message: string) => void;
  /** Clock for `createdAt`. Default: the system's. */
  readonly now?: () => Date;
  /** For git, which says where the sources come from. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
}

/** A build as just made or found. */
export interface ProjectBuild extends Build {
  /** Whether nothing had changed since the last build. */
  readonly unchanged: boolean;
  /** Sentences with places in the code that a person should read. */
  readonly warnings: readonly string[];
  /** Every file that the build was made from; a change of one asks for a new build. */
  readonly inputs: readonly string[];
}

/**
 * Makes a project's bundle: workflow code, tasks, step code and manifest under `.anneal/build/<digest>`. Equal sources give an equal
 * digest on any machine; what has not changed since the last build is not built again.
 * @throws AnnealError BuildFailed with every problem found, one sentence a line.
 */
export async function buildProject({
  config,
  onProgress = () => undefined,
  now = () => new Date(),
  env = process.env,
}: BuildOptions): Promise<ProjectBuild> {
  const { buildsDir } = projectPaths(config);
  const own = locateOwnModules();
  const inputsFile = path.join(buildsDir, 'inputs.json');
  const asked = digestOf({
    version: BUILD_VERSION,
    root: config.root,
    project: config.project,
    pipelines: config.pipelines,
    activities: config.activities,
    notifiers: Object.entries(config.notifiers).map(([name, { type }]) => `${type}:${name}`),
    own: own.directory,
    node: process.version,
  });
  const last = await readUnchangedInputs(inputsFile, asked);
  const lastBuild = last && (await loadBuild(buildsDir, last.digest).catch(() => undefined));
  const origin = await readCodeOrigin(config.root, { env, run: runProgram });
  if (last && lastBuild)
    return {
      ...(await updateOrigin(lastBuild, origin)),
      unchanged: true,
      warnings: last.warnings,
      inputs: last.files.map(({ file }) => file),
    };
  const startedMs = Date.now();
  await mkdir(buildsDir, { recursive: true });
  await removeAbandoned(buildsDir, startedMs);
  const workDir = await mkdtemp(path.join(buildsDir, '.work-'));
  try {
    onProgress(`Building ${config.project}`);
    const parts = await makeParts(config, own, workDir);
    const build = await writeBuild({
      buildsDir,
      parts,
      project: config.project,
      createdAt: now().toISOString(),
      origin,
    });
    await writeInputs(inputsFile, {
      asked,
      digest: build.digest,
      files: parts.inputs,
      directories: parts.directories,
      warnings: parts.warnings,
      startedMs,
    });
    onProgress(
      `Built ${build.digest.slice(0, 12)}: ${parts.pipelines.length} pipelines, ${parts.steps.length} steps`,
    );
    return { ...build, unchanged: false, warnings: parts.warnings, inputs: parts.inputs };
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

/** Removes what builds that were killed left behind more than an hour ago. */
async function removeAbandoned(buildsDir: string, nowMs: number): Promise<void> {
  for (const name of await readdir(buildsDir)) {
    if (!/^\.(work|draft)-/.test(name)) continue;
    const directory = path.join(buildsDir, name);
    const found = await stat(directory).catch(() => undefined);
    if (found && nowMs - found.mtimeMs > ABANDONED_MS) await rm(directory, { recursive: true, force: true });
  }
}
