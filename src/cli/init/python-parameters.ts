import { slug } from '../../core/attempt.js';

/** A parameter found in a script or notebook. */
export interface FoundParameter {
  /** Identifier in TypeScript and JSON. */
  readonly name: string;
  readonly type: 'string' | 'number' | 'integer' | 'boolean';
  readonly default?: string | number | boolean;
  readonly oneOf?: readonly string[];
  /** The flag that passes it, such as `--learning-rate`. */
  readonly flag?: string;
}

/** How the schema of a parameter is written in a pipeline: `number({ default: 0.1 })`. */
export function schemaCode({ type, default: value, oneOf }: FoundParameter): string {
  const options = [
    ...(oneOf === undefined ? [] : [`oneOf: ${JSON.stringify(oneOf)}`]),
    ...(value === undefined ? [] : [`default: ${JSON.stringify(value)}`]),
  ];
  return `${type}(${options.length === 0 ? '' : `{ ${options.join(', ')} }`})`;
}

/** `learning-rate` and `learning_rate` as an identifier: `learningRate`. */
export function identifierOf(text: string): string {
  const camel = text
    .replace(/^-+/, '')
    .replace(/[^A-Za-z0-9]+(.)?/g, (_, next: string | undefined) => (next ?? '').toUpperCase());
  return /^[A-Za-z]/.test(camel) ? camel : `p${camel}`;
}

/** A step's name from a file's. */
export function stepNameOf(file: string): string {
  return slug(file.replace(/\.[^.]+$/, ''), 40);
}

/** A test of the pipeline `training` around one step, which the testing kit makes up: the wiring is right. */
export function testFile(step: string, parameters: readonly FoundParameter[]): string {
  const needed = parameters.filter((one) => one.default === undefined);
  const values = needed.map((one) => `${one.name}: ${JSON.stringify(exampleOf(one))}`).join(', ');
  const given = needed.length === 0 ? '' : `, { parameters: { ${values} } }`;
  return `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runPipeline } from 'anneal/testing';
import { training } from '../pipelines/index.js';

test('training runs its step', async () => {
  const run = await runPipeline(training${given});
  assert.equal(run.state, 'completed');
  assert.deepEqual(run.steps, ['${step}']);
});
`;
}

function exampleOf({ type, oneOf }: FoundParameter): string | number | boolean {
  if (type === 'string') return oneOf?.[0] ?? 'example';
  return type === 'boolean' ? false : 1;
}
