import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '../../src/config/load-config.js';
import { buildProject } from '../../src/workers/build/build-project.js';
import type { ProjectBuild } from '../../src/workers/build/build-project.js';

/** Contents by path relative to the project. */
export type ProjectFiles = { readonly [file: string]: string };

/** A small project that builds: a step with code and a lock, a task, a pipeline in a module of its own. */
export const smallProject: ProjectFiles = {
  'anneal.yaml': 'project: small\nactivities: ./activities.ts\n',
  'pipelines/index.ts': `export { counting } from './counting.js';\n`,
  'pipelines/counting.ts': `import { dataset, definePipeline, defineStep, defineTask, number } from 'anneal';
import type * as activities from '../activities.js';

const countRows = defineTask<typeof activities.countRows>('countRows');
const ingest = defineStep({
  name: 'ingest',
  code: 'steps/ingest',
  python: { requirements: 'requirements.txt', version: '3.11' },
  inputs: { rows: number({ default: 3 }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['python3', 'main.py', inputs.rows, outputs.data.path],
});

// A comment that no build keeps.
export const counting = definePipeline(
  { name: 'counting', params: { rows: number({ default: 3, min: 1 }) }, schedule: { cron: '0 2 * * *' } },
  async ({ rows }) => {
    const { data } = await ingest({ rows });
    return countRows({ uri: data.uri });
  },
);
`,
  'activities.ts': `import { readFileSync } from 'node:fs';
export async function countRows(input: { readonly uri: string }): Promise<number> {
  return readFileSync(input.uri, 'utf8').length;
}
`,
  'requirements.txt': 'numpy==2.0.0 --hash=sha256:00\n',
  'steps/ingest/main.py': 'from lib import rows\n',
  'steps/ingest/lib/__init__.py': 'rows = 3\n',
  'steps/ingest/__pycache__/main.pyc': 'left out',
};

/** A pipelines module with one pipeline and, before it, the given lines. */
export function pipelineWith(...lines: readonly string[]): ProjectFiles {
  const text = [
    "import { definePipeline, defineStep, defineTask } from 'anneal';",
    ...lines,
    "export const p = definePipeline({ name: 'p' }, async () => 1);",
  ];
  return { 'anneal.yaml': 'project: small\n', 'pipelines/index.ts': `${text.join('\n')}\n` };
}

/** Runs `use` on a project outside the repository, and removes it afterwards. */
export async function withProject(files: ProjectFiles, use: (root: string) => Promise<void>): Promise<void> {
  // macOS links its temporary folder; builds report real paths.
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal build (1) '));
  try {
    await writeFiles(root, files);
    await use(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Writes files below a project. */
export async function writeFiles(root: string, files: ProjectFiles): Promise<void> {
  for (const [file, contents] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), contents);
  }
}

/** Builds the project in a directory. */
export async function buildIn(root: string): Promise<ProjectBuild> {
  return buildProject({ config: await loadConfig({ cwd: root, env: {} }) });
}
