import { defineCommand, number } from '../../src/pipeline/index.js';

/** A command that the tests send with its type. */
export const setRate = defineCommand({
  name: 'set-learning-rate',
  params: { rate: number({ min: 0, max: 1 }) },
  signal: 'SIGUSR1',
});
