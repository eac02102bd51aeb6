import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleModules } from '../../adapters/module-bundler.js';
import type { CodeProblem } from '../../adapters/module-bundler.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { RegisteredDefinitions } from '../../pipeline/registry.js';
import { buildFailure } from './build-failure.js';
import { isProjectFile } from './project-file.js';
import type { OwnModules } from './own-modules.js';

/** What a project's pipelines module defines. */
export interface EvaluatedDefinitions extends RegisteredDefinitions {
  readonly pipelines: PipelineDefinition[];
  /** Names of the pipelines that the module exports. */
  readonly exported: readonly string[];
}

/** Time that loading a pipelines module may take. */
const LOAD_LIMIT_MS = 30_000;

/**
 * Loads a pipelines module in a short-lived process without the project's environment and without Node's globals, as in the sandbox, and
 * reads what it defined.
 * @param options `pipelines`: the module, relative to `root`; `workDir`: an empty directory.
 * @throws AnnealError BuildFailed with the place in the project's code.
 */
export async function evaluateDefinitions(options: {
  readonly root: string;
  readonly pipelines: string;
  readonly workDir: string;
  readonly own: OwnModules;
}): Promise<EvaluatedDefinitions> {
  const { root, pipelines, workDir, own } = options;
  const bundle = await bundleModules({
    root,
    isProjectFile: (file) => isProjectFile(file, { root, own }),
    place: 'definitions',
    modules: { ...own.anneal, ...workflowEntries(own) },
    entry: `export { registeredDefinitions } from ${JSON.stringify(own.registry)};\nexport * as pipelines from ${JSON.stringify(pipelines)};\n`,
  });
  if (!bundle.ok) throw buildFailure(bundle.problems);
  const module = path.join(workDir, 'definitions.mjs');
  const loader = path.join(workDir, 'load-definitions.mjs');
  const answerFile = path.join(workDir, 'definitions.json');
  await writeFile(module, bundle.code);
  await writeFile(loader, LOADER);
  const problem = await runLoader([loader, module, answerFile]);
  const answer = await readFile(answerFile, 'utf8').then(
    (text) => JSON.parse(text) as LoaderAnswer,
    () => undefined,
  );
  if (answer === undefined)
    throw buildFailure([
      `${pipelines}: loading the module ${problem ?? 'gave no answer'}. It may define pipelines, steps and tasks, and do nothing else.`,
    ]);
  if (answer.ok) return answer.definitions;
  throw buildFailure([problemOf(answer, { root, own })]);
}

type LoaderAnswer =
  | { readonly ok: true; readonly definitions: EvaluatedDefinitions }
  | { readonly ok: false; readonly message: string; readonly stack: string };

/** What Node has and the sandbox lacks, of what people use. */
const ABSENT_GLOBALS = ['process', 'Buffer', 'fetch', 'setImmediate', 'performance', 'crypto', 'navigator'];

/** Plain JavaScript, run by Node: what the sandbox lacks is taken away before the project's code is loaded. */
const LOADER = `import { writeFileSync } from 'node:fs';
const [, , module, answerFile] = process.argv;
const answer = (value) => writeFileSync(answerFile, JSON.stringify(value));
const exit = process.exit.bind(process);
for (const name of ${JSON.stringify(ABSENT_GLOBALS)}) delete globalThis[name];
try {
  const { registeredDefinitions, pipelines } = await import(module);
  const exported = Object.values(pipelines).filter((value) => typeof value === 'function' && 'pipelineName' in value).map((value) => value.pipelineName);
  answer({ ok: true, definitions: { ...registeredDefinitions(), exported } });
} catch (error) {
  answer({ ok: false, message: String(error?.message ?? error), stack: String(error?.stack ?? '') });
}
exit(0);
`;

function workflowEntries(own: OwnModules): { readonly [name: string]: string } {
  return Object.fromEntries(
    Object.entries(own.packages).map(([name, dir]) => [name, path.join(dir, 'lib/index.js')]),
  );
}

/** Runs the loader; what went wrong with the process itself, in words. */
function runLoader(args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    // No environment: what a pipeline defines must not depend on the machine that builds it.
    execFile(
      process.execPath,
      ['--enable-source-maps', '--no-warnings', ...args],
      { env: {}, timeout: LOAD_LIMIT_MS, killSignal: 'SIGKILL' },
      (error, _stdout, stderr) => {
        if (error === null) resolve(undefined);
        else if (error.killed) resolve(`did not end within ${LOAD_LIMIT_MS / 1_000} s`);
        else
          resolve(`ended the process (${stderr.trim().split('\n').at(-1)?.slice(0, 200) ?? error.message})`);
      },
    );
  });
}

/** What to say of an error, and the first line of the project's own code on its stack. */
function problemOf(
  { message, stack }: { readonly message: string; readonly stack: string },
  project: { readonly root: string; readonly own: OwnModules },
): CodeProblem {
  const frames = [...stack.matchAll(/^ +at (?:.*? \()?(\/.+?|file:.+?):(\d+):(\d+)\)?$/gm)].map(
    ([, file = '', line, column]) => ({
      file: file.startsWith('file:') ? fileURLToPath(file) : file,
      line: Number(line),
      column: Number(column),
    }),
  );
  const frame = frames.find(({ file }) => isProjectFile(file, project));
  const missing = NOT_DEFINED.exec(message)?.[1];
  const text =
    missing === undefined
      ? message
      : `pipelines run in Temporal's sandbox, which has no ${missing}; move this into a task or pass it as a parameter`;
  return frame === undefined ? { text } : { text, ...frame, file: path.relative(project.root, frame.file) };
}

const NOT_DEFINED = new RegExp(`^(${ABSENT_GLOBALS.join('|')}) is not defined$`);
