import { setRate } from './training-commands.js';
import { createDispatcher } from '../../src/workflows/index.js';
import { dataset, defineCommand, definePipeline, defineStep } from '../../src/pipeline/index.js';

const stopEarly = defineCommand({ name: 'stop-early', answerWithin: '2s' });

const train = defineStep({
  name: 'train',
  inputs: {},
  outputs: { data: dataset() },
  command: ({ outputs }) => ['train', outputs.data.path],
  commands: [setRate, stopEarly],
});
const plain = defineStep({
  name: 'plain',
  inputs: {},
  outputs: { data: dataset() },
  command: ({ outputs }) => ['plain', outputs.data.path],
});

/** A training that takes commands, beside a step that takes none. */
const training = definePipeline({ name: 'training' }, async () => {
  await Promise.all([train({}), plain({})]);
  return 'trained';
});

/** Two calls of one step at once. */
const twins = definePipeline({ name: 'twins' }, async () => {
  await Promise.all([train({}, { name: 'left' }), train({}, { name: 'right' })]);
  return 'trained';
});

export default createDispatcher({ training, twins });
