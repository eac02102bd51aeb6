import { access } from 'node:fs/promises';
import path from 'node:path';
import type { ProjectConfig } from '../../config/project-config.js';
import { digestOf } from '../../core/digest.js';
import type { StepDefinition } from '../../core/step.js';
import { digestOfBuild } from './build-digest.js';
import { buildFailure, describeProblem } from './build-failure.js';
import type { BuiltStep } from './build-manifest.js';
import { bundleTasks } from './bundle-tasks.js';
import { bundleWorkflows } from './bundle-workflows.js';
import { definitionProblems } from './check-definitions.js';
import { evaluateDefinitions } from './evaluate-definitions.js';
import { findUnrecorded } from './find-unrecorded.js';
import type { OwnModules } from './own-modules.js';
import { isProjectFile } from './project-file.js';
import { readScheduleDates } from './schedule-dates.js';
import { readStepFiles } from './step-code.js';
import type { StepFiles } from './step-code.js';

/** All that goes into a build, in memory, and its digest. */
export type BuildParts = Awaited<ReturnType<typeof makeParts>>;

/**
 * Bundles, evaluates, checks and hashes a project; writes only to `workDir`.
 * @throws AnnealError BuildFailed with every problem found, one sentence a line.
 */
export async function makeParts(config: ProjectConfig, own: OwnModules, workDir: string) {
  const source = await sourcesOf(config);
  const { root } = config;
  const [definitions, tasks] = await settleAll(
    evaluateDefinitions({ root, pipelines: source.pipelines, workDir, own }),
    source.activities === undefined
      ? Promise.resolve(undefined)
      : bundleTasks({ root, activities: source.activities, own }),
  );
  const dated = await readScheduleDates(definitions.pipelines, root);
  const problems = [
    ...dated.problems,
    ...definitionProblems(
      { ...definitions, pipelines: dated.pipelines },
      { ...source, taskExports: tasks?.exports ?? [], notifiers: config.notifiers },
    ),
  ];
  const files = new Map<string, StepFiles>();
  for (const step of definitions.steps) {
    const found = await readStepFiles(step, root);
    problems.push(...found.problems);
    files.set(step.name, found);
  }
  if (problems.length > 0) throw buildFailure(problems);
  // Last, because it takes longest and mistakes should be shown at once.
  const workflows = await bundleWorkflows({ root, pipelines: source.pipelines, workDir, own });
  const { tasks: taskDefinitions } = definitions;
  const { pipelines } = dated;
  const steps = definitions.steps.map((step) => builtStep(step, files.get(step.name)));
  const ownFiles = workflows.files.filter((file) => isProjectFile(file, { root, own }));
  const unrecorded = await findUnrecorded(ownFiles, root);
  return {
    digest: digestOfBuild({
      project: config.project,
      workflows: workflows.code,
      tasks: tasks?.code,
      ...{ pipelines, steps, taskDefinitions },
    }),
    pipelines,
    steps,
    taskDefinitions,
    workflows: workflows.bundle,
    tasks: tasks?.bundle,
    files,
    warnings: [...workflows.warnings, ...(tasks?.warnings ?? []), ...unrecorded].map(describeProblem),
    inputs: [
      ...new Set([
        ...workflows.files,
        ...(tasks?.files ?? []),
        ...stepInputs(files),
        ...dated.files,
        config.file,
      ]),
      ...vendorFiles(own),
    ],
    directories: [...new Set([...files.values()].flatMap(({ directories }) => directories))],
  };
}

async function sourcesOf(
  config: ProjectConfig,
): Promise<{ readonly pipelines: string; readonly activities?: string }> {
  const relative = async (key: string, file: string) => {
    await access(file).catch(() => {
      throw buildFailure([
        `${key} in ${config.file} names ${file}, which does not exist. Write that module, or set ${key} to the one that there is.`,
      ]);
    });
    return `./${path.relative(config.root, file).split(path.sep).join('/')}`;
  };
  const pipelines = await relative('pipelines', config.pipelines);
  return config.activities === undefined
    ? { pipelines }
    : { pipelines, activities: await relative('activities', config.activities) };
}

/** Waits for all before it throws the first error, so that nothing still writes to a directory that is being removed. */
async function settleAll<T extends readonly Promise<unknown>[]>(...promises: T) {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

function builtStep(step: StepDefinition, files: StepFiles | undefined): BuiltStep {
  return {
    ...step,
    codeDigest: files?.codeDigest ?? digestOf([]),
    codeFiles: Object.fromEntries(
      (files?.code ?? []).map(({ name, sha256, executable }) => [
        name,
        executable ? `${sha256} executable` : sha256,
      ]),
    ),
    ...(files?.python === undefined ? {} : { pythonDigest: files.python.digest }),
  };
}

/** Files of the project that go into its steps. */
function stepInputs(files: ReadonlyMap<string, StepFiles>): string[] {
  return [...files.values()].flatMap(({ code, python }) => [
    ...code.map(({ source: file }) => file),
    ...(python === undefined ? [] : [python.lock]),
  ]);
}

/** A new version of Temporal's library is a reason to build again. */
function vendorFiles(own: OwnModules): string[] {
  return Object.values(own.packages).map((directory) => path.join(directory, 'package.json'));
}
