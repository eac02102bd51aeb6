import { artifact, boolean, definePipeline, defineStep, sleep } from '../../src/pipeline/index.js';
import { createDispatcher } from '../../src/workflows/index.js';

const make = defineStep({
  name: 'make',
  inputs: {},
  outputs: { data: artifact() },
  command: ({ outputs }) => ['make', outputs.data.path],
});

const told = definePipeline(
  {
    name: 'told',
    params: { fail: boolean({ default: false }) },
    notify: { onSuccess: ['ok@example.org'], onRecovery: ['slack:ml'] },
  },
  async ({ fail }) => {
    await make({});
    if (fail) throw new RangeError('off by one');
  },
);

const waits = definePipeline({ name: 'waits' }, async () => {
  await make({});
  await sleep('1h');
});

export default createDispatcher({ told, waits });
