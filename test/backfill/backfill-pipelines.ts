import { definePipeline, defineStep, dataset, sleep, string } from '../../src/pipeline/index.js';
import { createDispatcher } from '../../src/workflows/index.js';

const make = defineStep({
  name: 'make',
  inputs: { day: string() },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['make', inputs.day, outputs.data.path],
});

const daily = definePipeline(
  {
    name: 'daily',
    params: { day: string(), mode: string({ default: '' }) },
    partition: { by: 'day', parameter: 'day', timezone: 'Europe/Berlin' },
  },
  async ({ day, mode }) => {
    await make({ day });
    if (mode === 'waits') await sleep('10m');
    if (mode === 'fails' && day.endsWith('3')) throw new RangeError('no such day');
    return { day };
  },
);

/** No steps at all. */
const bare = definePipeline(
  { name: 'bare', params: { day: string() }, partition: { by: 'day', parameter: 'day' } },
  async ({ day }) => await Promise.resolve(day),
);

export default createDispatcher({ daily, bare });
