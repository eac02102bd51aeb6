import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { checkParameters, type ParameterSchema } from '../core/schema.js';
import { nearestName } from '../core/nearest-name.js';

/** Parameters by name. */
export type Parameters = { readonly [name: string]: Json };

/**
 * Reads `--param name=value` texts by the pipeline's schemas: a string is taken as it is, everything else is JSON.
 * @throws AnnealError InvalidParameter.
 */
export function parseParameters(
  pipeline: string,
  schemas: { readonly [name: string]: ParameterSchema },
  texts: readonly string[],
): Parameters {
  const values: Record<string, Json> = {};
  for (const text of texts) {
    const cut = text.indexOf('=');
    if (cut < 1) throw invalid(`"${text}" is not a parameter; write --param name=value.`);
    const name = text.slice(0, cut);
    const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined;
    if (!schema) throw invalid(unknownParameter(pipeline, name, Object.keys(schemas)));
    if (Object.hasOwn(values, name)) throw invalid(`Parameter "${name}" is given twice; give it once.`);
    values[name] = parseValue(schema, text.slice(cut + 1));
  }
  return values;
}

/** Refuses what the pipeline would refuse at its start, before anything runs. Unknown names get the nearest known one. */
export function refuseWrongParameters(
  pipeline: string,
  schemas: { readonly [name: string]: ParameterSchema },
  values: Parameters,
): void {
  const known = Object.keys(schemas);
  const unknown = Object.keys(values).find((name) => !Object.hasOwn(schemas, name));
  if (unknown !== undefined) throw invalid(unknownParameter(pipeline, unknown, known));
  const checked = checkParameters(`pipeline "${pipeline}"`, schemas, values);
  if (!checked.ok) throw invalid(checked.problems.join(' '));
}

function parseValue(schema: ParameterSchema, text: string): Json {
  if (schema.type === 'string') return text;
  try {
    return JSON.parse(text) as Json;
  } catch {
    // The check by schema says what is allowed.
    return text;
  }
}

function unknownParameter(pipeline: string, name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
  const list = known.length === 0 ? 'none' : known.map((one) => `"${one}"`).join(', ');
  return `Pipeline "${pipeline}" has no parameter "${name}"; it takes ${list}.${hint}`;
}

function invalid(message: string): AnnealError {
  return new AnnealError('InvalidParameter', message);
}
