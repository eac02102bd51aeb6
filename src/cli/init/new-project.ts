import { slug } from '../../core/attempt.js';

/** Files of a project, by path below its directory. */
export type ProjectFiles = { readonly [path: string]: string };

/** What the files of a project have in common. */
export interface NewProject {
  /** Name for anneal.yaml: from the directory's name. */
  readonly project: string;
  /** Version of the package that made it. */
  readonly version: string;
}

/** The name of the project in a directory. */
export function projectNameOf(directory: string): string {
  return slug(directory, 63);
}

/** What every new project has beside its pipelines and steps. */
export function commonFiles({ project, version }: NewProject): ProjectFiles {
  const manifest = {
    name: project,
    private: true,
    type: 'module',
    scripts: {
      start: 'anneal start',
      dev: 'anneal dev',
      down: 'anneal down',
      test: 'node --import tsx --test test/*.test.ts',
      check: 'tsc',
    },
    dependencies: { anneal: `^${version}` },
    devDependencies: { '@types/node': '^20.19.43', tsx: '^4.23.15', typescript: '^6.0.3' },
  };
  const compiler = {
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
    },
    include: ['pipelines', 'test'],
  };
  return {
    'anneal.yaml': `project: ${project}\npipelines: pipelines/index.ts\n\n# Where steps run: two pools on this machine. docs/configuration.md lists every key.\npools:\n  cpu: {}\n  gpu: { gpu: 1 }\n`,
    'package.json': `${JSON.stringify(manifest, null, 2)}\n`,
    'tsconfig.json': `${JSON.stringify(compiler, null, 2)}\n`,
    '.gitignore': 'node_modules/\n.anneal/\n',
  };
}
