import { boolean, dataset, definePipeline, defineStep, integer } from 'anneal';

// The benchmark's pipelines: copied into a project outside the repository and built there, as a user's are.

const first = defineStep({
  name: 'first',
  inputs: { item: integer() },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['first', inputs.item, outputs.data.path],
});

const work = defineStep({
  name: 'work',
  inputs: { item: integer(), data: dataset() },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['work', inputs.item, inputs.data.path, outputs.data.path],
});

/** Every look-up misses: what a no-op makes has another digest in each run. */
const cacheable = defineStep({
  name: 'cacheable',
  inputs: { item: integer(), data: dataset() },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['work', inputs.item, inputs.data.path, outputs.data.path],
  cache: {},
});

/** Every look-up after the first run hits. */
const kept = defineStep({
  name: 'kept',
  inputs: { item: integer() },
  outputs: {},
  command: ({ inputs }) => ['kept', inputs.item],
  cache: { version: '1' },
});

export const keptChain = definePipeline(
  { name: 'kept-chain', params: { steps: integer({ min: 1 }) } },
  async ({ steps }) => {
    for (let item = 0; item < steps; item++) await kept({ item });
  },
);

/** Steps in sequence, each working on what the one before it made. */
export const chain = definePipeline(
  { name: 'chain', params: { steps: integer({ min: 1 }), cached: boolean({ default: false }) } },
  async ({ steps, cached }) => {
    const step = cached ? cacheable : work;
    let { data } = await first({ item: 0 });
    for (let item = 1; item < steps; item++) ({ data } = await step({ item, data }));
    return data.digest;
  },
);

/** One step, then the others all at once. */
export const fanOut = definePipeline(
  { name: 'fan-out', params: { steps: integer({ min: 1 }) } },
  async ({ steps }) => {
    const { data } = await first({ item: 0 });
    const made = await Promise.all(
      Array.from({ length: steps }, async (_, item) => await work({ item, data })),
    );
    return made.length;
  },
);
