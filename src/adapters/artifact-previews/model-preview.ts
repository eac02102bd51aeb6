import { parse } from 'yaml';
import type { ModelPreview, PreviewColumn } from '../../core/artifact-preview.js';
import { clip } from './fit-preview.js';

const COLUMNS = 50;

/** What an MLmodel file says of a model: flavours and signature. @throws any error for a file that says it in no way that is known. */
export function previewModel(mlmodel: string): ModelPreview {
  const content = record(parse(mlmodel, { maxAliasCount: 10, logLevel: 'silent', schema: 'core' }));
  const signature = record(content['signature']);
  const inputs = readColumns(signature['inputs']);
  const outputs = readColumns(signature['outputs']);
  const version = content['mlflow_version'];
  return {
    type: 'model',
    flavors: Object.keys(record(content['flavors'])).map((name) => clip(name, 40)),
    ...(typeof version === 'string' ? { mlflowVersion: clip(version, 40) } : {}),
    ...(inputs && { inputs }),
    ...(outputs && { outputs }),
  };
}

/** MLflow writes columns or tensors as JSON in a text: `[{"type": "double", "name": "age"}]`, `[{"type": "tensor", "tensor-spec": {...}}]`. */
function readColumns(text: unknown): PreviewColumn[] | undefined {
  if (typeof text !== 'string') return undefined;
  const columns: unknown = JSON.parse(text);
  if (!Array.isArray(columns)) return undefined;
  return columns.slice(0, COLUMNS).map((column, at) => {
    const { name, type, 'tensor-spec': tensor } = record(column);
    const { dtype, shape } = record(tensor);
    const shown = tensor === undefined ? type : `${String(dtype)}${JSON.stringify(shape)}`;
    return {
      name: typeof name === 'string' ? clip(name, 60) : `column ${at + 1}`,
      type: clip(typeof shown === 'string' ? shown : JSON.stringify(shown), 60),
    };
  });
}

function record(value: unknown): { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
