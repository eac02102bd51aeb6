import type { ArtifactRef } from '../core/artifacts.js';
import { digestOf } from '../core/digest.js';
import type { Json } from '../core/json.js';
import type { ArtifactSchema, ParameterSchema } from '../core/schema.js';
import { checkParameters, describeValue } from '../core/schema.js';
import type { StepOutputs, StepRequest } from '../pipeline/runtime.js';

/** What is told when a pipeline reads what no fake gives. */
export type OnMisuse = (error: Error) => never;

/**
 * The outputs of a fake step: what its fake gives, artifacts made up from the call's identity, so that equal calls make equal digests. A
 * metric that no fake gives is an error at the moment it is read.
 * @throws TypeError for an output or value that the step does not declare.
 */
export function makeUpOutputs(request: StepRequest, given: unknown, onMisuse: OnMisuse): StepOutputs {
  const { definition } = request;
  if (typeof given !== 'object' || given === null)
    throw new TypeError(
      `The fake of step "${definition.name}" gives ${describeValue(given)}; it must give an object of outputs.`,
    );
  const known = Object.keys(definition.outputs);
  const values = new Map<string, unknown>(Object.entries(given));
  for (const name of values.keys())
    if (!known.includes(name))
      throw new TypeError(
        `The fake of step "${definition.name}" gives output "${name}"; the step has ${known.join(', ') || 'none'}.`,
      );
  const outputs: Record<string, ArtifactRef | Json> = {};
  for (const [name, schema] of Object.entries(definition.outputs)) {
    const at = { step: definition.name, output: name, given: values.get(name) };
    outputs[name] =
      schema.type === 'artifact' ? artifactOf(request, schema, { ...at, onMisuse }) : parameterOf(schema, at);
  }
  return outputs;
}

interface OutputAt {
  readonly step: string;
  readonly output: string;
  readonly given: unknown;
}

function artifactOf(
  request: StepRequest,
  schema: ArtifactSchema,
  at: OutputAt & { readonly onMisuse: OnMisuse },
): ArtifactRef {
  const { step, output, given } = at;
  const isMetrics = schema.metrics !== undefined;
  if (!isMetrics && given !== undefined && typeof given !== 'string')
    throw new TypeError(
      `The fake of step "${step}" gives ${describeValue(given)} for output "${output}"; for a ${schema.kind} it may give a text that stands for its contents.`,
    );
  const inputs = Object.entries(request.inputs).map(([name, ref]) => [name, ref.digest]);
  const digest = digestOf(
    typeof given === 'string'
      ? { contents: given }
      : { step, output, inputs, parameters: request.parameters, given },
  );
  return {
    kind: schema.kind,
    uri: `file:///made-up/${step}/${digest.slice(0, 16)}/${output}`,
    digest,
    sizeBytes: 1,
    form: schema.kind === 'Model' ? 'directory' : 'file',
    values: isMetrics ? metricValues(schema.metrics, at) : {},
  };
}

function metricValues(
  declared: { readonly [name: string]: 'number' | 'string' },
  at: OutputAt & { readonly onMisuse: OnMisuse },
): object {
  const { step, output, given = {}, onMisuse } = at;
  if (typeof given !== 'object' || given === null)
    throw new TypeError(
      `The fake of step "${step}" gives ${describeValue(given)} for metrics "${output}"; it must give an object of values.`,
    );
  const values = {};
  for (const [name, value] of Object.entries(given)) {
    const type = declared[name];
    if (type === undefined)
      throw new TypeError(
        `The fake of step "${step}" gives metric "${name}"; output "${output}" has ${Object.keys(declared).join(', ')}.`,
      );
    if (typeof value !== type)
      throw new TypeError(
        `The fake of step "${step}" gives ${describeValue(value)} for metric "${name}"; it must be a ${type}.`,
      );
    Object.defineProperty(values, name, { value, enumerable: true });
  }
  for (const name of Object.keys(declared)) {
    if (Object.hasOwn(values, name)) continue;
    const hint = `The pipeline reads metric "${name}" of step "${step}", which no fake gives. Add it to the fake of that step: { ${output}: { ${name}: ... } }.`;
    Object.defineProperty(values, name, { enumerable: false, get: () => onMisuse(new TypeError(hint)) });
  }
  return values;
}

function parameterOf(schema: ParameterSchema, { step, output, given }: OutputAt): Json {
  const checked = checkParameters(
    `the fake of step "${step}"`,
    { [output]: schema },
    given === undefined ? {} : { [output]: given },
  );
  if (!checked.ok) throw new TypeError(checked.problems.join(' '));
  return checked.values[output] ?? null;
}
