import { builtinModules } from 'node:module';
import path from 'node:path';
import { build, transform } from 'esbuild';
import type { BuildOptions, Loader, Message, Plugin } from 'esbuild';

/** A message about one place of a project's code. */
export interface CodeProblem {
  readonly text: string;
  /** Relative to the project, with slashes; absent: no single place. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
}

/** What is bundled, and for which place. */
export interface ModuleBundleRequest {
  /** The project: the bundle's names and sources are relative to it. */
  readonly root: string;
  /** Source of the entry; its relative imports start at `root`. */
  readonly entry: string;
  /**
   * `sandbox`: CommonJS without Node, for the workflow bundler, which alone resolves `@temporalio/*`; `definitions`: the same code as a
   * module that Node can load; `node`: a module for Node whose packages stay where they are.
   */
  readonly place: 'sandbox' | 'definitions' | 'node';
  /** Modules by the name in imports: absolute paths of Anneal's own. */
  readonly modules: { readonly [name: string]: string };
  /** Whether a file is the project's own code, which is warned about; packages are not. */
  readonly isProjectFile: (file: string) => boolean;
  /** Modules that stay out, with all that they import: others import them from the module `name`. Their files are added to `files`. */
  readonly apart?: {
    readonly holds: (file: string) => boolean;
    readonly name: string;
    readonly files: Set<string>;
  };
}

/** One module made of many. */
export type ModuleBundle =
  | {
      readonly ok: true;
      /** With its source map inside. */
      readonly code: string;
      /** Absolute paths of every file in it. */
      readonly files: readonly string[];
      /** Names that the entry exports; known for modules, not for CommonJS. */
      readonly exports: readonly string[];
      readonly warnings: readonly CodeProblem[];
    }
  | { readonly ok: false; readonly problems: readonly CodeProblem[] };

/** Bundles modules of a project. Comments are removed: they would name the directories of this machine. */
export async function bundleModules(request: ModuleBundleRequest): Promise<ModuleBundle> {
  try {
    const result = await build(buildOptions(request));
    const output = Object.values(result.metafile.outputs).find(({ entryPoint }) => entryPoint !== undefined);
    return {
      ok: true,
      code: result.outputFiles[0]?.text ?? '',
      files: Object.keys(result.metafile.inputs)
        .filter((file) => !file.startsWith('<') && file !== ENTRY_NAME)
        .map((file) => path.resolve(request.root, file)),
      exports: output?.exports ?? [],
      warnings: result.warnings.map(readMessage),
    };
  } catch (error) {
    const messages = (error as { readonly errors?: readonly Message[] }).errors;
    if (messages === undefined) throw error;
    return { ok: false, problems: messages.map(readMessage) };
  }
}

/**
 * Uses of globals in one source file, comments, strings and local names of the same spelling left out.
 * @param names such as `['Date.now', 'Math.random']`; `new Date()` is looked for under that name.
 */
export async function findGlobalUses(
  source: { readonly code: string; readonly extension: string },
  names: readonly string[],
): Promise<string[]> {
  const marker = (name: string) => `__anneal_${name.replaceAll('.', '_')}`;
  const replaced = names.filter((name) => !name.startsWith('new '));
  const constructed = names
    .filter((name) => name.startsWith('new '))
    .map((name) => name.slice(4).replace('()', ''));
  const { code } = await transform(source.code, {
    loader: loaderOf(source.extension),
    legalComments: 'none',
    logLevel: 'silent',
    define: Object.fromEntries([...replaced, ...constructed].map((name) => [name, marker(name)])),
  });
  return [
    ...replaced.filter((name) => code.includes(marker(name))),
    ...constructed.filter((name) => code.includes(`new ${marker(name)}()`)).map((name) => `new ${name}()`),
  ];
}

const ENTRY_NAME = 'anneal-entry.ts';
const NODE_MODULES = new Set(builtinModules.filter((name) => !['assert', 'url', 'util'].includes(name)));
const OUTSIDE_SANDBOX =
  /^(anneal\/(client|testing)|@temporalio\/(activity|client|worker|testing|core-bridge))(\/|$)/;

function buildOptions({ root, entry, place, modules, isProjectFile, apart }: ModuleBundleRequest) {
  return {
    stdin: { contents: entry, resolveDir: root, sourcefile: ENTRY_NAME, loader: 'ts' },
    absWorkingDir: root,
    // The depth of a build's directory, so that the map's relative sources hold there.
    outfile: path.join(root, '.anneal', 'build', 'bundle', 'bundle.js'),
    bundle: true,
    write: false,
    metafile: true,
    sourcemap: 'inline',
    sourcesContent: true,
    legalComments: 'none',
    minifyWhitespace: true,
    logLevel: 'silent',
    target: 'es2023',
    format: place === 'sandbox' ? 'cjs' : 'esm',
    ...(place === 'node'
      ? { platform: 'node', packages: 'external' }
      : {
          platform: 'neutral',
          mainFields: ['module', 'main'],
          conditions: ['import', 'default'],
          define: { 'process.env.NODE_ENV': '"production"' },
          external: ['assert', 'url', 'util', ...(place === 'sandbox' ? ['@temporalio/*'] : [])],
        }),
    plugins: [
      ...(apart ? [modulesApart(apart)] : []),
      ownModules(modules),
      ...(place === 'node' ? [] : [sandboxFence(isProjectFile)]),
    ],
  } as const satisfies BuildOptions;
}

/** Resolves Anneal's modules to this installation, so that a project needs no copy of its own. */
function ownModules(modules: ModuleBundleRequest['modules']): Plugin {
  return {
    name: 'anneal-modules',
    setup(context) {
      context.onResolve({ filter: /^anneal(\/|$)|^@temporalio\// }, ({ path: name }) => {
        const file = modules[name];
        if (file !== undefined) return { path: file };
        return undefined;
      });
    },
  };
}

/** Imports of modules that stay out become imports of one module. */
function modulesApart({ holds, name, files }: NonNullable<ModuleBundleRequest['apart']>): Plugin {
  return {
    name: 'anneal-apart',
    setup(context) {
      context.onResolve({ filter: /^\./ }, async ({ path: file, pluginData, ...from }) => {
        if (pluginData === 'anneal-apart') return undefined;
        const found = await context.resolve(file, { ...from, pluginData: 'anneal-apart' });
        if (!holds(found.path)) return undefined;
        files.add(found.path);
        return { path: name, external: true };
      });
    },
  };
}

/** Refuses what Temporal's sandbox does not have, where it is imported. */
function sandboxFence(isProjectFile: (file: string) => boolean): Plugin {
  return {
    name: 'anneal-sandbox',
    setup(context) {
      context.onResolve({ filter: /^[^./]/ }, ({ path: name, importer }) => {
        if (importer === ENTRY_NAME || importer.endsWith(ENTRY_NAME)) return undefined;
        const bare = name.replace(/^node:/, '');
        if (NODE_MODULES.has(bare) || name.startsWith('node:') || OUTSIDE_SANDBOX.test(name))
          return {
            errors: [
              {
                text: `pipelines run in Temporal's sandbox, which has no "${name}". Move this into a task (defineTask, and activities: in anneal.yaml), or import it as a type only`,
              },
            ],
          };
        if (name === '@temporalio/workflow' && isProjectFile(importer))
          return {
            warnings: [
              {
                text: 'what @temporalio/workflow gives is not in the journal: a run of any length and a retry with new code need "anneal" alone',
              },
            ],
          };
        return undefined;
      });
    },
  };
}

function loaderOf(extension: string): Loader {
  const match = /^\.[cm]?(ts|js)(x?)$/.exec(extension);
  return match ? (`${match[1] ?? ''}${match[2] ?? ''}` as Loader) : 'ts';
}

function readMessage({ text, location }: Message): CodeProblem {
  const clear = text.replace(/^Could not resolve "([^"]+)"$/, (said, name: string) =>
    name.startsWith('.')
      ? `${said}: there is no such file`
      : `${said}: install it in the project, or correct the name`,
  );
  if (location === null || location.file.endsWith(ENTRY_NAME)) return { text: clear };
  return { text: clear, file: location.file, line: location.line, column: location.column + 1 };
}
