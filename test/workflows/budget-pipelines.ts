import { approval, definePipeline, integer, sleep } from '../../src/pipeline/index.js';
import { createDispatcher } from '../../src/workflows/index.js';
import { make } from './steps.js';

const params = { n: integer({ default: 1 }) };
const notify = { onBudget: ['ops@example.org'], onFailure: ['oncall@example.org'] };

const chain = definePipeline({ name: 'chain', params, notify, budget: 10 }, async ({ n }) => {
  for (let i = 0; i < n; i++) await make({ n: i });
});

const wide = definePipeline({ name: 'wide', params, notify }, async ({ n }) => {
  await Promise.all(Array.from({ length: n }, (_, i) => make({ n: i })));
});

const judged = definePipeline({ name: 'judged', notify, budget: 10 }, async () => {
  const { data } = await make({ n: 0 });
  await approval('go', { subject: data, allowUnverified: true });
  await sleep('1s');
});

const stubborn = definePipeline({ name: 'stubborn', params, budget: 10 }, async ({ n }) => {
  for (let i = 0; i < n; i++) await make({ n: i }).catch(() => undefined);
});

const parent = definePipeline({ name: 'parent', budget: 10 }, async () => {
  await make({ n: 0 });
  await chain({ n: 1 });
});

export default createDispatcher({ chain, wide, judged, stubborn, parent });
