import { createDispatcher } from '../../src/workflows/index.js';
import {
  approval,
  dataset,
  definePipeline,
  defineStep,
  defineTask,
  json,
  notify,
} from '../../src/pipeline/index.js';

const use = defineStep({
  name: 'use',
  inputs: { settings: json() },
  outputs: { out: dataset(), echo: json() },
  command: () => ['use'],
});
const repeat = defineTask<(input: string) => string>('repeat');

const part = definePipeline({ name: 'part', params: { settings: json() } }, async ({ settings }) => {
  await use({ settings });
  return settings;
});

/** Something large in every place where a history keeps something. */
const large = definePipeline({ name: 'large', params: { settings: json() } }, async ({ settings }) => {
  const { out, echo } = await use({ settings });
  const text = await repeat('x'.repeat(300_000));
  await part({ settings });
  await notify({ to: ['a@example.com'], subject: 's', text });
  await approval('go', { subject: out, allowUnverified: true });
  return { echo, text };
});

export default createDispatcher({ large, part });
