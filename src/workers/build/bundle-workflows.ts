import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '@temporalio/worker';
import { bundleModules } from '../../adapters/module-bundler.js';
import type { CodeProblem } from '../../adapters/module-bundler.js';
import { buildFailure } from './build-failure.js';
import { isProjectFile } from './project-file.js';
import { withoutSourceMap } from './build-digest.js';
import type { OwnModules } from './own-modules.js';

/** Largest code of a workflow bundle before the build warns: each cached run pays for it in memory. */
export const CODE_BUDGET_BYTES = 700 * 1024;

/** A workflow bundle. */
export interface WorkflowCode {
  /** What a worker loads: code and inline source map. */
  readonly bundle: string;
  /** The code alone; the digest is made from it. */
  readonly code: string;
  readonly files: readonly string[];
  readonly warnings: readonly CodeProblem[];
}

/**
 * Bundles a project's pipelines for Temporal's sandbox: first the project's and Anneal's own modules into one, then that with Temporal's
 * workflow library. Neither names a directory of this machine, so equal sources give equal code anywhere. Each run has modules of its
 * own, but for those of Anneal that keep nothing of a run: all runs share one copy of them, which saves memory and compiling.
 * @param options `pipelines`: the module, relative to `root`; `workDir`: an empty directory.
 * @throws AnnealError BuildFailed with the place in the project's code.
 */
export async function bundleWorkflows(options: {
  readonly root: string;
  readonly pipelines: string;
  readonly workDir: string;
  readonly own: OwnModules;
}): Promise<WorkflowCode> {
  const { root, pipelines, workDir, own } = options;
  const shared = new Set<string>();
  const request = {
    root,
    isProjectFile: (file: string) => isProjectFile(file, { root, own }),
    place: 'sandbox',
    modules: own.anneal,
  } as const;
  const modules = await bundleModules({
    ...request,
    entry: workflowEntry(pipelines),
    apart: { holds: (file) => isShared(file, own), name: './shared.js', files: shared },
  });
  if (!modules.ok) throw buildFailure(modules.problems);
  const common = await bundleModules({ ...request, entry: sharedEntry([...shared].sort()) });
  if (!common.ok) throw buildFailure(common.problems);
  const workflowsPath = path.join(workDir, 'pipelines.js');
  const sharedPath = path.join(workDir, 'shared.js');
  // The project around may say "type": "module"; what esbuild made is CommonJS.
  await writeFile(path.join(workDir, 'package.json'), '{ "type": "commonjs" }');
  await writeFile(workflowsPath, modules.code);
  await writeFile(sharedPath, common.code);
  const bundle = await bundleForSandbox({ workflowsPath, sharedPath }, options);
  const code = withoutSourceMap(bundle);
  return {
    bundle,
    code,
    files: [...modules.files, ...common.files],
    warnings: [...modules.warnings, ...codeWarnings(code, options)],
  };
}

/** Modules of a run's own beside the project's: the dispatcher, and the authoring API, which holds the run's runtime. */
function isShared(file: string, { directory }: OwnModules): boolean {
  const [folder, name = ''] = path.relative(directory, file).split(path.sep);
  return folder === 'core' || (folder === 'workflows' && !/^(index|dispatch)\.[jt]s$/.test(name));
}

function workflowEntry(pipelines: string): string {
  return [
    `import * as pipelines from ${JSON.stringify(pipelines)};`,
    `import { createDispatcher } from 'anneal/workflows';`,
    'export default createDispatcher(pipelines);',
  ].join('\n');
}

interface SandboxOptions {
  readonly root: string;
  readonly workDir: string;
  readonly own: OwnModules;
}

/**
 * Temporal takes a stack trace for every promise of a workflow and keeps it while the promise is open: most of what a waiting run holds, and
 * of what a step costs. Five lines name the place in the pipeline, that of a wrong call among them.
 */
const STACK_DEPTH = 5;

function sharedEntry(files: readonly string[]): string {
  const all = files.map((file) => `export * from ${JSON.stringify(file)};`);
  return [`Error.stackTraceLimit = ${STACK_DEPTH};`, ...all].join('\n');
}

async function bundleForSandbox(
  { workflowsPath, sharedPath }: { readonly workflowsPath: string; readonly sharedPath: string },
  options: SandboxOptions,
): Promise<string> {
  const { workDir, own } = options;
  const { bundleWorkflowCode } = await import('@temporalio/worker');
  const log: string[] = [];
  try {
    const { code } = await bundleWorkflowCode({
      workflowsPath,
      preloadModules: [sharedPath],
      logger: errorsInto(log),
      webpackConfigHook: (config) => ({
        ...config,
        context: workDir,
        devtool: 'inline-nosources-source-map',
        // Numbers in the order of imports: names and hashes would be made from paths.
        optimization: { ...config.optimization, moduleIds: 'natural', chunkIds: 'natural' },
        output: {
          ...config.output,
          filename: 'workflows.js',
          pathinfo: false,
          devtoolModuleFilenameTemplate: (info: unknown) => sourceName(info, options),
        },
        resolve: { ...config.resolve, alias: { ...config.resolve?.alias, ...own.packages } },
      }),
    });
    return code;
  } catch (error) {
    throw buildFailure([
      `The workflow code could not be bundled: ${log.join('\n') || (error as Error).message}`,
    ]);
  }
}

function errorsInto(log: string[]): Logger {
  const ignore = () => undefined;
  return {
    log: ignore,
    trace: ignore,
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (message) => void log.push(message),
  };
}

/** A source's name in stack traces: relative to the project, or to the package that it is of. */
function sourceName(info: unknown, { root, workDir, own }: SandboxOptions): string {
  const file = String((info as { readonly absoluteResourcePath?: unknown }).absoluteResourcePath ?? '');
  const inPackage = file.lastIndexOf(`${path.sep}node_modules${path.sep}`);
  if (inPackage >= 0) return file.slice(inPackage + 1);
  const relativeTo = (base: string, prefix: string) =>
    file.startsWith(base + path.sep) ? prefix + path.relative(base, file) : undefined;
  return (
    relativeTo(workDir, '') ??
    relativeTo(root, '') ??
    relativeTo(path.dirname(own.directory), 'anneal/') ??
    path.basename(file)
  );
}

function codeWarnings(code: string, { root }: { readonly root: string }): CodeProblem[] {
  const bytes = Buffer.byteLength(code);
  const warnings: CodeProblem[] = [];
  if (bytes > CODE_BUDGET_BYTES)
    warnings.push({
      text: `the workflow code has ${Math.round(bytes / 1024)} KiB, more than ${CODE_BUDGET_BYTES / 1024}; each run in memory pays for it. Import fewer packages in pipelines, or use them in tasks`,
    });
  if (code.includes(root))
    warnings.push({
      text: `the pipelines contain the path ${root}, so this build is good on this machine only`,
    });
  return warnings;
}
