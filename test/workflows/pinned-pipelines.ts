import { createDispatcher } from '../../src/workflows/index.js';
import { dataset, definePipeline, defineStep, pinDataset, string } from '../../src/pipeline/index.js';

const use = defineStep({
  name: 'use',
  inputs: { data: dataset(), which: string() },
  outputs: { out: dataset() },
  command: ({ inputs }) => ['use', inputs.data.path],
});

const pinned = definePipeline({ name: 'pinned', params: { uri: string() } }, async ({ uri }) => {
  const data = await pinDataset('customers', { uri });
  await use({ data, which: 'a' });
  await use({ data, which: 'b' });
  return (await pinDataset('customers', { uri })).digest;
});

const reuse = defineStep({
  name: 'reuse',
  inputs: { data: dataset() },
  outputs: { out: dataset() },
  command: () => ['reuse'],
  cache: {},
});

const reusing = definePipeline({ name: 'reusing', params: { uri: string() } }, async ({ uri }) => {
  await reuse({ data: await pinDataset('customers', { uri }) });
});

export default createDispatcher({ pinned, reusing });
