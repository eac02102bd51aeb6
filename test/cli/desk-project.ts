import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Name of the project, and of its two pools. */
export const DESK = { project: 'desk', pools: ['cpu', 'gpu'] } as const;

/** Where the key of `ana`, `bo`, whom anneal.yaml lists, or `eve`, whom it does not, is in the project. */
export function keyFile(name: string): string {
  return `keys/${name}.pem`;
}

/** Writes a project whose steps are shell commands and that imports nothing but Anneal: quick, and without Python. */
export async function writeDeskProject(root: string): Promise<void> {
  const people = ['ana', 'bo', 'eve'].map((name) => ({ name, ...generateKeyPairSync('ed25519') }));
  const approvers = people
    .filter(({ name }) => name !== 'eve')
    .map(
      ({ name, publicKey }) =>
        `  ${name}: { key: ${JSON.stringify(publicKey.export({ type: 'spki', format: 'pem' }))} }\n`,
    );
  const files = {
    ...Object.fromEntries(
      people.map(({ name, privateKey }) => [
        keyFile(name),
        privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      ]),
    ),
    'anneal.yaml': `project: ${DESK.project}\npools:\n  cpu: { slots: 4 }\n  gpu: { gpu: 1, slots: 1 }\napprovers:\n${approvers.join('')}`,
    'pipelines/index.ts': PIPELINES,
  };
  for (const [file, contents] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), contents);
  }
}

/** What a step of `talks` prints before it waits, in lines. */
export const TALKS_LINES = 40;

const PIPELINES = `import { approval, dataset, definePipeline, defineStep, integer, string } from 'anneal';

const write = defineStep({
  name: 'write',
  inputs: { n: integer(), text: string({ default: '' }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['sh', '-c', 'echo "writes $1"; wc -c < "$ANNEAL_PARAMETERS_DIR/text.json" > "$2"', 'sh', inputs.n, outputs.data.path],
});

const fail = defineStep({
  name: 'fail',
  inputs: {},
  outputs: {},
  command: () => ['sh', '-c', 'echo "no such table" >&2; exit 3'],
});

/** Says where it runs, prints, and goes on until it is told to finish. */
const talk = defineStep({
  name: 'talk',
  inputs: { control: string() },
  outputs: {},
  stopGrace: '2s',
  command: ({ inputs }) => ['sh', '-c', 'echo $$ > "$1/pid"; i=0; until [ -e "$1/finish" ]; do i=$((i+1)); [ $i -gt ${TALKS_LINES} ] || echo "line $i é"; [ $i -lt 1200 ] || exit 70; sleep 0.1; done; echo "last line"', 'sh', inputs.control],
});

const onGpu = defineStep({ name: 'on-gpu', inputs: {}, outputs: {}, pool: 'gpu', command: () => ['true'] });
const onGpus = defineStep({ name: 'on-gpus', inputs: {}, outputs: {}, pool: 'gpus', command: () => ['true'] });

export const quick = definePipeline(
  {
    name: 'quick',
    params: { n: integer({ min: 0, max: 9, default: 1 }), color: string({ oneOf: ['red', 'green'], default: 'red' }), text: string({ default: '' }) },
  },
  async ({ n, text }) => {
    await write({ n, text });
    return { n };
  },
);

export const breaks = definePipeline({ name: 'breaks', notify: { onFailure: ['ml-alerts@company.com'] } }, async () => {
  await fail({});
});

export const talks = definePipeline({ name: 'talks', params: { control: string() }, notify: { onTerminated: ['night@company.com'] } }, async ({ control }) => {
  await talk({ control });
});

export const asks = definePipeline({ name: 'asks', params: { n: integer({ default: 1 }) } }, async ({ n }) => {
  const { data } = await write({ n });
  return await approval('go-live', { subject: data, approvers: ['ana', 'bo'] });
});

export const needsGpu = definePipeline({ name: 'needs-gpu' }, async () => {
  await onGpu({});
});

export const needsGpus = definePipeline({ name: 'needs-gpus' }, async () => {
  await onGpus({});
});

export const nightly = definePipeline(
  { name: 'nightly', schedule: { cron: '0 2 * * *', params: { n: 2 } }, params: { n: integer({ default: 1 }) } },
  async ({ n }) => {
    await write({ n });
  },
);

export const daily = definePipeline(
  { name: 'daily', params: { day: string(), fine: integer({ default: 1 }) }, partition: { by: 'day', parameter: 'day' } },
  async ({ day, fine }) => {
    await write({ n: 1, text: day });
    if (fine === 0 && day.endsWith('02')) await fail({});
    return { day };
  },
);

export const follows = definePipeline(
  { name: 'follows', params: { day: string() }, triggers: [{ after: 'daily', params: { day: { from: 'partition' } } }] },
  async ({ day }) => await Promise.resolve({ day }),
);
`;
