import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { AnnealError } from '../../core/failures.js';
import type { ProjectFiles } from './new-project.js';
import { identifierOf, schemaCode, stepNameOf, testFile, type FoundParameter } from './python-parameters.js';

/** A parameter of a notebook keeps its Python name: papermill sets it by that. */
type NotebookParameter = FoundParameter & { readonly python: string };

/** A pipeline around a notebook: the assignments of its cell tagged `parameters` are parameters; papermill runs it, and the executed notebook is a Report. */
export async function filesFromNotebook(source: string, text: string): Promise<ProjectFiles> {
  const file = path.basename(source);
  const parameters = readParameters(source, text);
  const shipped = async (name: string) =>
    await readFile(new URL(`../../../python/${name}`, import.meta.url), 'utf8');
  const [wanted, locked] = await Promise.all([shipped('papermill.in'), shipped('papermill.txt')]);
  const packages = wanted.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return {
    'pipelines/index.ts': pipelineCode(file, parameters),
    [`steps/${file}`]: text,
    'test/training.test.ts': testFile(stepNameOf(file), parameters),
    'requirements.in': `${LOCKING}\n${packages.join('\n')}\n# What the notebook imports:\n`,
    'requirements.txt': locked,
  };
}

const LOCKING =
  '# After a change: uv pip compile --universal --generate-hashes requirements.in -o requirements.txt';

function readParameters(source: string, text: string): NotebookParameter[] {
  const refuse = (what: string) =>
    new AnnealError('InvalidCommand', `${source} ${what}. Name a notebook of format 4, as Jupyter saves it.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('is not JSON');
  }
  if (typeof value !== 'object' || value === null || !('cells' in value) || !Array.isArray(value.cells))
    throw refuse('has no cells');
  const cell = (value.cells as readonly NotebookCell[]).find(
    (one) => one.cell_type === 'code' && one.metadata?.tags?.includes('parameters') === true,
  );
  const { source: lines = '' } = cell ?? {};
  const code = typeof lines === 'string' ? lines : lines.join('');
  return code.split('\n').flatMap(readAssignment);
}

interface NotebookCell {
  readonly cell_type?: string;
  readonly metadata?: { readonly tags?: readonly string[] };
  readonly source?: string | readonly string[];
}

/** Simple assignments only: `name = 0.1`, `name: int = 3`, `name = "text"`, `name = True`. Others keep the notebook's own value. */
function readAssignment(line: string): NotebookParameter[] {
  const match = /^([A-Za-z_]\w*)\s*(?::[^=]+)?=\s*(.+?)\s*(?:#.*)?$/.exec(line);
  const [, python, value] = match ?? [];
  if (python === undefined || value === undefined) return [];
  const name = identifierOf(python);
  if (value === 'True' || value === 'False')
    return [{ python, name, type: 'boolean', default: value === 'True' }];
  if (/^-?\d+$/.test(value)) return [{ python, name, type: 'integer', default: Number(value) }];
  if (/^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value))
    return [{ python, name, type: 'number', default: Number(value) }];
  const quoted = /^(['"])([^'"\\]*)\1$/.exec(value);
  return quoted?.[2] === undefined ? [] : [{ python, name, type: 'string', default: quoted[2] }];
}

function pipelineCode(file: string, parameters: readonly NotebookParameter[]): string {
  const step = stepNameOf(file);
  const call = `${identifierOf(step)}Step`;
  const imports = new Set(['definePipeline', 'defineStep', 'report', ...parameters.map(({ type }) => type)]);
  const schemas = parameters.map((one) => `${one.name}: ${schemaCode(one)}`).join(', ');
  const names = parameters.map(({ name }) => name).join(', ');
  // -r passes text as it is, -p lets papermill read numbers and booleans.
  const flags = parameters.map(
    ({ python, name, type }) =>
      `    '${type === 'string' ? '-r' : '-p'}', '${python}', ${type === 'boolean' ? `inputs.${name} ? 'True' : 'False'` : `inputs.${name}`},`,
  );
  return `import { ${[...imports].sort().join(', ')} } from 'anneal';

export const ${call} = defineStep({
  name: '${step}',
  code: ${JSON.stringify(`steps/${file}`)},
  // papermill and what the notebook imports, pinned; requirements.in says how to lock more.
  python: { requirements: 'requirements.txt' },
  inputs: { ${schemas} },
  outputs: { notebook: report() },
  command: ({ inputs, outputs }) => [
    'papermill',
    ${JSON.stringify(file)},
    outputs.notebook.path,
    '--log-output', '--no-progress-bar',
    // The environment's own kernel, whatever the notebook was saved with.
    '--kernel', 'python3', '--language', 'python',
${flags.join('\n')}
  ],
});

export const training = definePipeline(
  { name: 'training', params: { ${schemas} } },
  async ({ ${names} }) => {
    await ${call}({ ${names} });
  },
);
`;
}
