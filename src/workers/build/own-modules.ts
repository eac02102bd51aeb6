import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where this installation keeps what a project's pipelines import. */
export interface OwnModules {
  /** Anneal's modules by the name in imports. */
  readonly anneal: { readonly [name: string]: string };
  /** Module with the definitions made so far. */
  readonly registry: string;
  /** Directories of packages that the workflow bundler resolves to Anneal's copies. */
  readonly packages: { readonly [name: string]: string };
  /** Directory of Anneal's compiled modules. */
  readonly directory: string;
}

/** Looks them up beside this module: compiled ones beside compiled, sources beside sources. */
export function locateOwnModules(): OwnModules {
  const here = fileURLToPath(import.meta.url);
  const directory = path.resolve(path.dirname(here), '../..');
  const module = (name: string) => path.join(directory, `${name}${path.extname(here)}`);
  const require = createRequire(import.meta.url);
  const fromWorkflow = createRequire(require.resolve('@temporalio/workflow/package.json'));
  const packageDir = (resolver: NodeJS.Require, name: string) =>
    path.dirname(resolver.resolve(`${name}/package.json`));
  return {
    anneal: { anneal: module('pipeline/index'), 'anneal/workflows': module('workflows/index') },
    registry: module('pipeline/registry'),
    packages: {
      '@temporalio/workflow': packageDir(require, '@temporalio/workflow'),
      '@temporalio/common': packageDir(fromWorkflow, '@temporalio/common'),
    },
    directory,
  };
}
