import { createDispatcher } from '../../src/workflows/index.js';
import {
  dataset,
  definePipeline,
  defineStep,
  integer,
  parallelMap,
  string,
} from '../../src/pipeline/index.js';

const source = defineStep({
  name: 'source',
  inputs: { seed: string() },
  outputs: { data: dataset() },
  command: ({ inputs }) => ['source', inputs.seed],
});
const shared = defineStep({
  name: 'shared',
  inputs: { data: dataset(), n: integer({ default: 0 }) },
  outputs: { data: dataset() },
  command: ({ inputs }) => ['shared', inputs.n],
  retry: { attempts: 2 },
  cache: {},
});
const impatient = defineStep({
  name: 'impatient',
  inputs: { data: dataset() },
  outputs: { data: dataset() },
  command: () => ['impatient'],
  cache: { maxWait: '1s' },
});
const rootless = defineStep({
  name: 'rootless',
  inputs: { n: integer() },
  outputs: { data: dataset() },
  command: () => ['rootless'],
  cache: {},
});
const versioned = defineStep({
  name: 'versioned',
  inputs: { n: integer() },
  outputs: { data: dataset() },
  command: () => ['versioned'],
  cache: { version: '1' },
});

const imaged = defineStep({
  name: 'imaged',
  inputs: { data: dataset(), n: integer({ default: 0 }) },
  outputs: { data: dataset() },
  image: 'r.io/imaged:1',
  command: () => ['imaged'],
  cache: {},
});
/** Runs in the image of its pool. */
const bare = defineStep({
  name: 'bare',
  inputs: { data: dataset() },
  outputs: { data: dataset() },
  command: () => ['bare'],
  cache: {},
});

const once = definePipeline({ name: 'once', params: { seed: string() } }, async ({ seed }) => {
  const { data } = await source({ seed });
  return (await shared({ data })).data.uri;
});

const twice = definePipeline({ name: 'twice', params: { seed: string() } }, async ({ seed }) => {
  const { data } = await source({ seed });
  const made = await Promise.all([shared({ data }, { name: 'a' }), shared({ data }, { name: 'b' })]);
  return made.map((each) => each.data.uri);
});

const hurried = definePipeline({ name: 'hurried', params: { seed: string() } }, async ({ seed }) => {
  const { data } = await source({ seed });
  return (await impatient({ data })).data.uri;
});

const chain = definePipeline(
  { name: 'chain', params: { seed: string(), steps: integer() } },
  async ({ seed, steps }) => {
    let { data } = await source({ seed });
    for (let n = 0; n < steps; n++) ({ data } = await shared({ data, n }));
    return data.digest;
  },
);

const wide = definePipeline(
  { name: 'wide', params: { seed: string(), items: integer() } },
  async ({ seed, items }) => {
    const { data } = await source({ seed });
    const made = await parallelMap(
      Array.from({ length: items }, (_, n) => n),
      async (n) => await shared({ data, n }),
    );
    return made.filter(({ ok }) => ok).length;
  },
);

/** Branches that are unevenly deep, and look at what they get. */
const branches = definePipeline(
  { name: 'branches', params: { seed: string(), items: integer() } },
  async ({ seed, items }) => {
    const { data } = await source({ seed });
    const branch = async (b: number) => {
      for (let i = 0; i < 4; i++) {
        if (b % 2 === 1) for (let turn = 0; turn < 40; turn++) await Promise.resolve();
        const n = b * 100 + i;
        const made = await shared({ data, n });
        if (!made.data.digest.startsWith(`sharedshared,${n}0`))
          throw new Error(`branch ${b} got ${made.data.digest}`);
      }
    };
    await Promise.all(Array.from({ length: items }, async (_, b) => await branch(b)));
    return items;
  },
);

const roots = definePipeline({ name: 'roots' }, async () => {
  for (const n of [1, 2]) await rootless({ n });
  await versioned({ n: 1 });
});

const images = definePipeline({ name: 'images', params: { seed: string() } }, async ({ seed }) => {
  const { data } = await source({ seed });
  await imaged({ data }, { name: 'first' });
  await imaged({ data, n: 2 }, { name: 'second' });
  await bare({ data });
});

export default createDispatcher({ once, twice, hurried, chain, wide, branches, roots, images });
