import { dataset, defineStep, integer } from '../../src/pipeline/index.js';

/** A step whose calls differ by a number: what most pipelines of these tests are made of. */
export const make = defineStep({
  name: 'make',
  inputs: { n: integer({ default: 0 }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['make', inputs.n, `--out=${outputs.data.path}`],
});
