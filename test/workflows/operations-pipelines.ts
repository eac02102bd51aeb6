import { createDispatcher } from '../../src/workflows/index.js';
import {
  approval,
  dataset,
  definePipeline,
  defineStep,
  integer,
  metrics,
  now,
  parallelMap,
} from '../../src/pipeline/index.js';
import { make } from './steps.js';

const use = defineStep({
  name: 'use',
  inputs: { data: dataset() },
  outputs: { score: metrics({ f1: 'number' }) },
  command: ({ inputs }) => ['use', inputs.data.path],
});

/** A chain, a fan-out of ten whose items may fail, and a person's decision between them. */
const nightly = definePipeline(
  { name: 'nightly', params: { items: integer({ default: 10 }) } },
  async ({ items }) => {
    const begun = now().getTime();
    const { data } = await make({ n: 0 });
    await approval('go-on', { subject: data, approvers: ['leads'], allowUnverified: true });
    const scores = await parallelMap(
      Array.from({ length: items }, (_, i) => i + 1),
      async (n) => {
        const made = await make({ n });
        return (await use({ data: made.data })).score.values.f1;
      },
      { concurrency: 10 },
    );
    return { begun, scores: scores.map((score) => score.ok && score.value) };
  },
);

/** Steps one after another. */
const chain = definePipeline({ name: 'chain', params: { n: integer({ default: 4 }) } }, async ({ n }) => {
  for (let i = 0; i < n; i++) await make({ n: i });
  return n;
});

export default createDispatcher({ nightly, chain });
