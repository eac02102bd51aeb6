import { bundleModules } from '../../adapters/module-bundler.js';
import type { CodeProblem } from '../../adapters/module-bundler.js';
import { withoutSourceMap } from './build-digest.js';
import { buildFailure } from './build-failure.js';
import { isProjectFile } from './project-file.js';
import type { OwnModules } from './own-modules.js';

/** A project's tasks as one module for Node. */
export interface TaskCode {
  /** What a worker loads: code and inline source map. */
  readonly bundle: string;
  /** The code alone; the digest is made from it. */
  readonly code: string;
  readonly exports: readonly string[];
  readonly files: readonly string[];
  readonly warnings: readonly CodeProblem[];
}

/**
 * Bundles the module of tasks; packages stay outside and are found in the project where the worker runs.
 * @param options `activities`: the module, relative to `root`.
 * @throws AnnealError BuildFailed with the place in the project's code.
 */
export async function bundleTasks({
  root,
  activities,
  own,
}: {
  readonly root: string;
  readonly activities: string;
  readonly own: OwnModules;
}): Promise<TaskCode> {
  const bundle = await bundleModules({
    root,
    isProjectFile: (file) => isProjectFile(file, { root, own }),
    place: 'node',
    modules: { anneal: own.anneal['anneal'] ?? '' },
    entry: `export * from ${JSON.stringify(activities)};\n`,
  });
  if (!bundle.ok) throw buildFailure(bundle.problems);
  const code = withoutSourceMap(bundle.code);
  return {
    bundle: bundle.code,
    code,
    exports: bundle.exports,
    files: bundle.files,
    warnings: bundle.warnings,
  };
}
