import type { LogInputs } from 'mlflow-ts-client';
import type { TrackedDataset } from '../../activities/ports/tracking.js';

/**
 * A data set as an input of a run. MLflow takes digests of at most 36 characters, the whole one is a tag of the input; and it tells data
 * sets apart by name and digest, so the same one again changes nothing.
 */
export function buildDatasetInput(dataset: TrackedDataset): NonNullable<LogInputs['datasets']>[number] {
  const { name, digest, uri, context, columns, rows } = dataset;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase() ?? '';
  const isWeb = scheme === 'http' || scheme === 'https';
  return {
    dataset: {
      name: name.slice(0, NAME_LIMIT),
      digest: digest.slice(0, DIGEST_LENGTH),
      sourceType: isWeb ? 'http' : scheme === 'file' || scheme === '' ? 'local' : scheme.slice(0, 36),
      source: JSON.stringify(isWeb ? { url: uri } : { uri }),
      ...(columns === undefined ? {} : { schema: buildSchema(columns) }),
      ...(rows === undefined ? {} : { profile: JSON.stringify({ num_rows: rows }) }),
    },
    tags: {
      'anneal.digest': digest,
      'anneal.uri': uri.slice(0, TAG_LIMIT),
      ...(context === undefined ? {} : { 'mlflow.data.context': context }),
    },
  };
}

const NAME_LIMIT = 500;
const DIGEST_LENGTH = 32;
/** Of a tag of an input. */
const TAG_LIMIT = 500;

/** MLflow's UI draws `mlflow_colspec` as a table. */
function buildSchema(columns: NonNullable<TrackedDataset['columns']>): string {
  return JSON.stringify({
    mlflow_colspec: columns.map(({ name, type }) => ({ type: columnType(type), name, required: false })),
  });
}

/** One of the types that MLflow's schemas know; what it does not know is text. */
function columnType(type: string): string {
  const found = COLUMN_TYPES.find(([pattern]) => pattern.test(type));
  return found?.[1] ?? 'string';
}

const COLUMN_TYPES: readonly (readonly [RegExp, string])[] = [
  [/^bool(ean)?$/i, 'boolean'],
  [/^u?int_?(8|16|32)$/i, 'integer'],
  [/^(u?int_?(64|96)?|integer|long|bigint)$/i, 'long'],
  [/^float(16|32)?$/i, 'float'],
  [/^(float64|double|number|decimal.*)$/i, 'double'],
  [/^(date|datetime|timestamp).*$/i, 'datetime'],
  [/^(binary|bytes|byte_array|fixed_len_byte_array)$/i, 'binary'],
];
