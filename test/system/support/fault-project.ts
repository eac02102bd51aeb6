import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** A run of pipeline `training` without parameters uses this model, and the control directory `<root>/default`. */
export const DEFAULT_MODEL = 'interrupted';
export const FAULT_PROJECT = 'faults';

/**
 * Writes a project whose training goes on until it is told to finish, counts its executions in a ledger and leaves a checkpoint
 * with each unit of work: faults can be made to happen in its middle without a race.
 */
export async function writeFaultProject(root: string): Promise<void> {
  const files = {
    'anneal.yaml': `project: ${FAULT_PROJECT}\npools:\n  cpu:\n    slots: 6\n`,
    'pipelines/index.ts': pipelines(path.join(root, 'default')),
    'steps/note.mjs': NOTE,
    'steps/train.mjs': TRAIN,
  };
  for (const [file, contents] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), contents);
  }
}

/** `retry.attempts: 1` and no delay worth waiting for: whatever is tried again was paid for by the infrastructure's budget. */
function pipelines(defaultControl: string): string {
  return `import { dataset, definePipeline, defineStep, metrics, model, registerModel, string } from 'anneal';

const node = ${JSON.stringify(process.execPath)};
const control = string({ default: ${JSON.stringify(defaultControl)} });

const prepare = defineStep({
  name: 'prepare',
  code: 'steps/note.mjs',
  inputs: { control },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => [node, 'note.mjs', inputs.control, outputs.data.path],
});

const train = defineStep({
  name: 'train',
  code: 'steps/train.mjs',
  inputs: { control, data: dataset() },
  outputs: { model: model(), metrics: metrics({ units: 'number' }) },
  command: ({ inputs, outputs }) => [node, 'train.mjs', inputs.control, outputs.model.path, outputs.metrics.path],
  retry: { attempts: 1, delay: '1h' },
  stopGrace: '5s',
});

const publish = defineStep({
  name: 'publish',
  code: 'steps/note.mjs',
  inputs: { control, model: model() },
  outputs: { page: dataset() },
  command: ({ inputs, outputs }) => [node, 'note.mjs', inputs.control, outputs.page.path],
});

export const training = definePipeline(
  { name: 'training', params: { control, modelName: string({ default: '${DEFAULT_MODEL}' }) } },
  async ({ control, modelName }) => {
    const { data } = await prepare({ control });
    const { model, metrics } = await train({ control, data });
    await publish({ control, model });
    return registerModel({ name: modelName, model, metrics, alias: 'champion' });
  },
);
`;
}

const LEDGER = `import { appendFileSync, mkdirSync } from 'node:fs';
const { ANNEAL_STEP: step, ANNEAL_ATTEMPT: attempt } = process.env;
const control = process.argv[2];
mkdirSync(control, { recursive: true });
const note = (event, fields = {}) =>
  appendFileSync(control + '/ledger.jsonl', JSON.stringify({ event, step, attempt: Number(attempt), pid: process.pid, ...fields }) + '\\n');
`;

const NOTE = `${LEDGER}
import { writeFileSync } from 'node:fs';
note('start', { units: 0 });
writeFileSync(process.argv[3], 'data of ' + step);
note('end', { units: 0 });
`;

const TRAIN = `${LEDGER}
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
const [, , , modelPath, metricsPath] = process.argv;
const { ANNEAL_CHECKPOINT_DIR: checkpoints, ANNEAL_METRICS_STREAM: stream } = process.env;
mkdirSync(checkpoints, { recursive: true });
const done = readdirSync(checkpoints).filter((name) => /^unit-\\d+$/.test(name)).map((name) => Number(name.slice(5)));
let units = Math.max(0, ...done);
note('start', { units });
// A test that went wrong must not leave a training behind for ever.
const giveUpAt = Date.now() + 180_000;
const timer = setInterval(() => {
  units += 1;
  const file = checkpoints + '/unit-' + String(units).padStart(6, '0');
  writeFileSync(file + '.tmp', String(units));
  renameSync(file + '.tmp', file);
  appendFileSync(stream, JSON.stringify({ step: units, metrics: { units } }) + '\\n');
  console.log('unit ' + units);
  if (Date.now() > giveUpAt) process.exit(70);
  if (!existsSync(control + '/finish')) return;
  clearInterval(timer);
  mkdirSync(modelPath, { recursive: true });
  writeFileSync(modelPath + '/MLmodel', 'flavors:\\n  python_function:\\n    loader_module: trained\\n');
  writeFileSync(metricsPath, JSON.stringify({ units }));
  note('end', { units });
}, 100);
`;
