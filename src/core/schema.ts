import type { ArtifactKind } from './artifacts.js';
import type { Json } from './json.js';

/** A parameter's type, default, range. Data: it is in the build's manifest and shown by the CLI. */
export type ParameterSchema =
  | {
      readonly type: 'string';
      readonly default?: string;
      readonly oneOf?: readonly string[];
      readonly maxLength?: number;
      readonly description?: string;
    }
  | {
      readonly type: 'number';
      readonly default?: number;
      readonly min?: number;
      readonly max?: number;
      readonly integer?: boolean;
      readonly description?: string;
    }
  | { readonly type: 'boolean'; readonly default?: boolean; readonly description?: string }
  | { readonly type: 'json'; readonly default?: Json; readonly description?: string };

/** An artifact that a step takes or makes. */
export interface ArtifactSchema {
  readonly type: 'artifact';
  readonly kind: ArtifactKind;
  /** For Metrics: the values that the file must hold. */
  readonly metrics?: { readonly [name: string]: 'number' | 'string' };
}

/** One input or output of a step. */
export type SlotSchema = ParameterSchema | ArtifactSchema;

/** Largest JSON text of all parameters of a run or of one step call, in UTF-16 code units. */
export const PARAMETERS_LIMIT = 1_000_000;

/** Parameters as given, checked and with defaults filled in, or what is wrong with them: one sentence each. */
export type CheckedParameters =
  | { readonly ok: true; readonly values: { readonly [name: string]: Json } }
  | { readonly ok: false; readonly problems: readonly string[] };

/**
 * Checks parameters against their schemas and fills in defaults.
 * @param owner for the message, such as `pipeline "churn-training"`.
 */
export function checkParameters(
  owner: string,
  schemas: { readonly [name: string]: ParameterSchema },
  given: unknown,
): CheckedParameters {
  if (given !== undefined && given !== null && (typeof given !== 'object' || Array.isArray(given)))
    return {
      ok: false,
      problems: [`The parameters of ${owner} must be one JSON object, found ${describeValue(given)}.`],
    };
  const entries = new Map<string, unknown>(Object.entries(given ?? {}));
  const problems: string[] = [];
  const values: Record<string, Json> = {};
  for (const name of entries.keys()) {
    if (!Object.hasOwn(schemas, name))
      problems.push(
        `${capital(owner)} has no parameter "${name}"; it takes ${listNames(Object.keys(schemas))}.`,
      );
  }
  for (const [name, schema] of Object.entries(schemas)) {
    const found = entries.get(name);
    // null says "none", but where any JSON value is allowed it is one.
    const value = found === undefined || (found === null && schema.type !== 'json') ? schema.default : found;
    if (value === undefined)
      problems.push(`Parameter "${name}" of ${owner} is missing; it is ${describeSchema(schema)}.`);
    else {
      const problem = valueProblem(schema, value);
      if (problem)
        problems.push(`Parameter "${name}" of ${owner} is ${describeValue(value)}; it must be ${problem}.`);
      else values[name] = value as Json;
    }
  }
  if (problems.length > 0) return { ok: false, problems };
  const size = JSON.stringify(values).length;
  if (size <= PARAMETERS_LIMIT) return { ok: true, values };
  const problem = `The parameters of ${owner} have ${size} characters of JSON; at most ${PARAMETERS_LIMIT} are allowed. Put larger data into a dataset: a step's output, or pinDataset() with its URI.`;
  return { ok: false, problems: [problem] };
}

/** What a schema allows, in words: `a number from 0 to 1 (default 0.85)`. */
export function describeSchema(schema: ParameterSchema): string {
  const range = allowedBy(schema);
  return schema.default === undefined ? range : `${range} (default ${JSON.stringify(schema.default)})`;
}

function allowedBy(schema: ParameterSchema): string {
  switch (schema.type) {
    case 'string':
      return schema.oneOf ? `one of ${schema.oneOf.map((v) => JSON.stringify(v)).join(', ')}` : 'a string';
    case 'number': {
      const noun = schema.integer ? 'a whole number' : 'a number';
      if (schema.min !== undefined && schema.max !== undefined)
        return `${noun} from ${schema.min} to ${schema.max}`;
      if (schema.min !== undefined) return `${noun} of at least ${schema.min}`;
      return schema.max === undefined ? noun : `${noun} of at most ${schema.max}`;
    }
    case 'boolean':
      return 'true or false';
    case 'json':
      return 'a JSON value';
  }
}

/** What a value must be instead, in words; undefined for one that the schema allows. */
export function valueProblem(schema: ParameterSchema, value: unknown): string | undefined {
  const allowed = allowedBy(schema);
  switch (schema.type) {
    case 'string': {
      if (typeof value !== 'string' || (schema.oneOf && !schema.oneOf.includes(value))) return allowed;
      if (value.includes('\0')) return 'a string without NUL characters';
      const limit = schema.maxLength ?? PARAMETERS_LIMIT;
      return value.length > limit
        ? `at most ${limit} characters (it has ${value.length}); put larger data into a dataset`
        : undefined;
    }
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return allowed;
      if (schema.integer && !Number.isInteger(value)) return allowed;
      return value < (schema.min ?? -Infinity) || value > (schema.max ?? Infinity) ? allowed : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? undefined : allowed;
    case 'json':
      return undefined;
  }
}

/** A value for a message: short, quoted, its type clear. */
export function describeValue(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null) return 'null';
  if (typeof value === 'object') return 'an object';
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function listNames(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `"${name}"`).join(', ');
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
