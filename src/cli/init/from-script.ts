import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { AnnealError } from '../../core/failures.js';
import type { ProjectFiles } from './new-project.js';
import { identifierOf, schemaCode, stepNameOf, testFile, type FoundParameter } from './python-parameters.js';

/** One argument as the reader below prints it. */
interface FoundArgument {
  readonly flag: string;
  readonly type: string;
  readonly default: unknown;
  readonly choices: readonly unknown[] | null;
  readonly action: string | null;
  readonly required: boolean;
}

/** A pipeline around a script: parameters from its argparse, paths that it writes as outputs. The script is read, never run. */
export async function filesFromScript(source: string, text: string): Promise<ProjectFiles> {
  const args = await readArguments(source);
  const file = path.basename(source);
  const outputs = args.filter(isOutputPath);
  const parameters = args.filter((arg) => !isOutputPath(arg)).map(toParameter);
  return {
    'pipelines/index.ts': pipelineCode({ file, outputs, parameters }),
    [`steps/${file}`]: text,
    'test/training.test.ts': testFile(stepNameOf(file), parameters),
  };
}

/** Python reads Python: the syntax tree of the file, without importing it. */
const READER = `
import ast, json, sys
tree = ast.parse(open(sys.argv[1], encoding="utf-8").read())
found = []
def plain(node):
    try: return ast.literal_eval(node)
    except Exception: return None
for node in ast.walk(tree):
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"): continue
    flags = [plain(a) for a in node.args]
    flags = [f for f in flags if isinstance(f, str)]
    if not flags: continue
    words = {k.arg: k.value for k in node.keywords if k.arg}
    kind = words.get("type")
    name = kind.id if isinstance(kind, ast.Name) else kind.attr if isinstance(kind, ast.Attribute) else ""
    default = plain(words["default"]) if "default" in words else None
    action = plain(words["action"]) if "action" in words else None
    if not isinstance(default, (str, int, float, bool, type(None))): default = None
    if not isinstance(action, (str, type(None))): action = None
    choices = plain(words["choices"]) if "choices" in words else None
    found.append({"line": node.lineno, "flag": max(flags, key=len), "type": name, "default": default, "action": action,
        "choices": list(choices) if isinstance(choices, (list, tuple)) else None, "required": bool("required" in words and plain(words["required"]))})
print(json.dumps(sorted(found, key=lambda f: f["line"])))
`;

const run = promisify(execFile);

async function readArguments(source: string): Promise<readonly FoundArgument[]> {
  try {
    const { stdout } = await run('python3', ['-I', '-c', READER, source], { timeout: 20_000 });
    return JSON.parse(stdout) as readonly FoundArgument[];
  } catch (cause) {
    const said =
      cause instanceof Error && 'stderr' in cause
        ? String(cause.stderr).trim().split('\n').at(-1)
        : String(cause);
    throw new AnnealError(
      'InvalidCommand',
      `${source} cannot be read as Python (${said}). Correct it, or check that python3 runs with "anneal doctor".`,
      { cause },
    );
  }
}

/** A path that the script is told to write to: by the words that people use for it. */
function isOutputPath({ flag, action }: FoundArgument): boolean {
  return (
    action === null &&
    /^--?(out|output|save|model|metrics|report|result|artifact|predictions)([-_]?(dir|path|file|to|out|output))?$/i.test(
      flag,
    )
  );
}

function toParameter({
  flag,
  type,
  default: value,
  choices,
  action,
  required,
}: FoundArgument): FoundParameter {
  const name = identifierOf(flag);
  if (action === 'store_true' || action === 'store_false')
    return { name, flag, type: 'boolean', default: false };
  const texts = choices?.filter((choice): choice is string => typeof choice === 'string') ?? [];
  if (texts.length > 0)
    return {
      name,
      flag,
      type: 'string',
      oneOf: texts,
      ...(typeof value === 'string' ? { default: value } : {}),
    };
  if (type === 'int' || type === 'float') {
    return {
      name,
      flag,
      type: type === 'int' ? 'integer' : 'number',
      ...(typeof value === 'number' ? { default: value } : {}),
    };
  }
  if (typeof value === 'string' || typeof value === 'number')
    return { name, flag, type: 'string', default: String(value) };
  // Left out of the command while it is empty: the script's own default counts.
  return { name, flag, type: 'string', ...(required || !flag.startsWith('-') ? {} : { default: '' }) };
}

interface ScriptPipeline {
  readonly file: string;
  readonly outputs: readonly FoundArgument[];
  readonly parameters: readonly FoundParameter[];
}

function pipelineCode({ file, outputs, parameters }: ScriptPipeline): string {
  const step = stepNameOf(file);
  const call = `${identifierOf(step)}Step`;
  const slots = outputs.map(({ flag }) => ({ flag, name: identifierOf(flag), slot: slotOf(flag) }));
  const schemas = parameters.map((one) => `    ${one.name}: ${schemaCode(one)},`);
  const flags = parameters.map((one) => `    ${flagCode(one)},`);
  const outputFlags = slots.map(({ flag, name }) => `    ${argumentCode(flag, `outputs.${name}.path`)},`);
  const imports = new Set([
    'definePipeline',
    'defineStep',
    ...parameters.map(({ type }) => type),
    ...slots.map(({ slot }) => slot.replace(/\(.*/, '')),
  ]);
  const names = parameters.map(({ name }) => name).join(', ');
  return `import { ${[...imports].sort().join(', ')} } from 'anneal';

export const ${call} = defineStep({
  name: '${step}',
  code: ${JSON.stringify(`steps/${file}`)},
  // Packages: put a pinned, hashed lock beside the step (uv pip compile --generate-hashes) and name it:
  // python: { requirements: 'requirements.txt' },
  inputs: {
${schemas.join('\n')}
  },
  outputs: { ${slots.map(({ name, slot }) => `${name}: ${slot}`).join(', ')} },
  command: ({ inputs${slots.length > 0 ? ', outputs' : ''} }) => [
    'python3',
    ${JSON.stringify(file)},
${[...flags, ...outputFlags].join('\n')}
  ],
});

export const training = definePipeline(
  {
    name: 'training',
    params: {
${schemas.map((line) => `  ${line}`).join('\n')}
    },
  },
  async ({ ${names} }) => {
    await ${call}({ ${names} });
  },
);
`.replace(/\n\n+( {2,}[\]}])/g, '\n$1');
}

function slotOf(flag: string): string {
  if (/metrics/i.test(flag)) return 'metrics()';
  if (/model/i.test(flag)) return 'model()';
  return /report/i.test(flag) ? 'report()' : 'artifact()';
}

function flagCode({ flag = '', name, type, default: value }: FoundParameter): string {
  if (type === 'boolean') return `...(inputs.${name} ? [${JSON.stringify(flag)}] : [])`;
  const code = argumentCode(flag, `inputs.${name}`);
  return value === '' ? `...(inputs.${name} === '' ? [] : [${code}])` : code;
}

function argumentCode(flag: string, value: string): string {
  return flag.startsWith('-') ? `${JSON.stringify(flag)}, ${value}` : value;
}
