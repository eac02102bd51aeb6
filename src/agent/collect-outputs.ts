import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import path from 'node:path';

import { openRegularFile } from '../adapters/file-store/copy-regular-file.js';
import { hasErrorCode } from '../adapters/file-store/store-errors.js';
import type { TreeEntry } from '../adapters/attempt-files/local-tree.js';
import { readTree } from '../adapters/attempt-files/local-tree.js';
import type { ArtifactKind, MetricValues } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { ArtifactSchema, ParameterSchema, SlotSchema } from '../core/schema.js';
import { checkParameters, describeValue } from '../core/schema.js';
import { checkName } from './prepare-attempt.js';

/** An artifact that the command wrote, checked but not stored. */
export interface CollectedArtifact {
  readonly name: string;
  readonly kind: ArtifactKind;
  readonly form: 'file' | 'directory';
  readonly localPath: string;
  /** Relative paths; one empty path for a file. */
  readonly files: readonly string[];
  /** Of each file, as {@link stampOf} gives it: it must not change until it is stored. */
  readonly stamps: { readonly [file: string]: string };
  readonly values: MetricValues;
}

/** Everything that was declared. */
export interface CollectedOutputs {
  readonly artifacts: readonly CollectedArtifact[];
  readonly parameters: { readonly [name: string]: Json };
}

/**
 * Checks what the command wrote against what the step declares. The directory is treated as hostile.
 * @throws AnnealError OutputMissing or OutputInvalid, naming the output and its path.
 */
export async function collectOutputs(
  directory: string,
  declared: { readonly [name: string]: SlotSchema },
): Promise<CollectedOutputs> {
  if (!(await lstat(directory)).isDirectory())
    throw new AnnealError(
      'OutputInvalid',
      `its directory for outputs (${directory}) was replaced by something else.`,
    );
  const artifacts: CollectedArtifact[] = [];
  const parameters: Record<string, Json> = {};
  for (const [name, schema] of Object.entries(declared)) {
    const localPath = path.join(directory, checkName('output', name));
    if (schema.type === 'artifact') artifacts.push(await collectArtifact({ name, localPath }, schema));
    else parameters[name] = await collectParameter({ name, localPath }, schema);
  }
  return { artifacts, parameters };
}

interface Output {
  readonly name: string;
  readonly localPath: string;
}

async function collectArtifact(output: Output, schema: ArtifactSchema): Promise<CollectedArtifact> {
  const tree = await readTree(output.localPath).catch((error: unknown) => {
    throw hasErrorCode(error, 'ENOENT', 'ENOTDIR') ? missing(output, 'was not written') : error;
  });
  if (tree.entries.length === 0) throw missing(output, 'is an empty directory');
  for (const entry of tree.entries) checkRegular(output, entry);
  const { form } = tree;
  const values = schema.kind === 'Metrics' ? await readMetrics(output, { form, schema }) : {};
  const files = tree.entries.map((entry) => entry.path);
  const stamps = Object.fromEntries(tree.entries.map((entry) => [entry.path, stampOf(entry.stats)]));
  return { ...output, kind: schema.kind, form, files, stamps, values };
}

/** What is different of a file that was written to, or replaced. */
export function stampOf({ ino, size, mtimeMs }: Stats): string {
  return `${ino} ${size} ${mtimeMs}`;
}

function missing({ name, localPath }: Output, what: string): AnnealError {
  return new AnnealError(
    'OutputMissing',
    `the command succeeded, but its output "${name}" ${what} (${localPath}). Write it there, or remove it from outputs:.`,
  );
}

function invalid({ name, localPath }: Output, what: string): AnnealError {
  return new AnnealError('OutputInvalid', `its output "${name}" ${what} (${localPath}).`);
}

function checkRegular(output: Output, entry: TreeEntry): void {
  if (entry.kind === 'file') return;
  const where = entry.path === '' ? 'is' : `holds "${entry.path}", which is`;
  const what = entry.kind === 'symlink' ? 'a symlink' : 'neither a file nor a directory';
  throw invalid(output, `${where} ${what}; only regular files are stored. Copy what it stands for`);
}

async function readMetrics(
  output: Output,
  { form, schema }: { readonly form: 'file' | 'directory'; readonly schema: ArtifactSchema },
): Promise<MetricValues> {
  if (form === 'directory')
    throw invalid(output, 'is a directory; metrics are one JSON file such as {"f1": 0.94}');
  const text = await readText(output);
  const content = parseJson(text);
  if (content === undefined) {
    const cause = /\b(NaN|Infinity)\b/.test(text)
      ? 'holds NaN or Infinity, which JSON does not have'
      : 'is not JSON';
    throw invalid(output, `${cause}; metrics are one JSON object such as {"f1": 0.94}`);
  }
  if (content === null || typeof content !== 'object' || Array.isArray(content))
    throw invalid(output, `is ${describeValue(content)}; metrics are one JSON object such as {"f1": 0.94}`);
  const entries = new Map<string, unknown>(Object.entries(content));
  const values: Record<string, number | string> = {};
  for (const [metric, type] of Object.entries(schema.metrics ?? {})) {
    const value = entries.get(metric);
    if (value === undefined)
      throw invalid(
        output,
        `has no value "${metric}", which the step declares; it has ${[...entries.keys()].map((key) => `"${key}"`).join(', ') || 'none'}`,
      );
    if (!isMetric(value) || typeof value !== type)
      throw invalid(
        output,
        `has ${describeValue(value)} for "${metric}"; the step declares a ${type === 'number' ? 'finite number' : type}`,
      );
    values[metric] = value;
  }
  if (schema.metrics === undefined)
    for (const [metric, value] of entries) if (isMetric(value)) values[metric] = value;
  return values;
}

/** Longest file of metrics or of a parameter: it travels by value. */
const VALUE_BYTES = 1_000_000;

async function readText(output: Output): Promise<string> {
  const handle = await openRegularFile(output.localPath);
  try {
    const { size } = await handle.stat();
    if (size > VALUE_BYTES)
      throw invalid(
        output,
        `has ${size} bytes, ${VALUE_BYTES} are allowed for metrics and parameters; declare it as a dataset() or an artifact()`,
      );
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function isMetric(value: unknown): value is number | string {
  return typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));
}

async function collectParameter(output: Output, schema: ParameterSchema): Promise<Json> {
  const { name, localPath } = output;
  const stats = await lstat(localPath).catch(() => undefined);
  if (stats === undefined) {
    if (schema.default !== undefined) return schema.default;
    throw missing(output, 'was not written');
  }
  if (!stats.isFile())
    throw invalid(output, 'is not a regular file; a parameter is one JSON value in a file');
  const text = await readText(output);
  const parsed = parseJson(text);
  // Text for a string need not be quoted: `echo hello > $output` is what people write.
  const value = schema.type === 'string' && typeof parsed !== 'string' ? text.replace(/\r?\n$/, '') : parsed;
  const checked = checkParameters('the step', { [name]: schema }, { [name]: value });
  const found = checked.ok ? checked.values[name] : undefined;
  if (checked.ok && found !== undefined) return found;
  throw invalid(output, checked.ok ? 'is empty' : `is not what is declared: ${checked.problems.join(' ')}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
