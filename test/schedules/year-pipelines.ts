import { definePipeline, integer, sleep } from '../../src/pipeline/index.js';
import { createDispatcher } from '../../src/workflows/index.js';

const nightly = definePipeline({ name: 'nightly' }, async () => await Promise.resolve('done'));

/** Time flies while somebody waits for it. */
const waits = definePipeline({ name: 'waits', params: { days: integer() } }, async ({ days }) => {
  await sleep(`${days}d`);
});

export default createDispatcher({ nightly, waits });
