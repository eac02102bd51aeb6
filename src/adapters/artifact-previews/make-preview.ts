import path from 'node:path';
import type { ArtifactPreview } from '../../core/artifact-preview.js';
import type { ArtifactKind, MetricValues } from '../../core/artifacts.js';
import { openRegularFile } from '../file-store/copy-regular-file.js';
import { previewCsv } from './csv-preview.js';
import { clip, fitPreview } from './fit-preview.js';
import { previewModel } from './model-preview.js';
import type { ParquetOptions } from './parquet-preview.js';
import { previewParquet } from './parquet-preview.js';
import { previewReport } from './report-preview.js';

/** An artifact on this machine. */
export interface LocalArtifact {
  readonly kind: ArtifactKind;
  readonly localPath: string;
  /** Relative paths; one empty path for a file. */
  readonly files: readonly string[];
  readonly values: MetricValues;
}

/**
 * What an artifact looks like, 4 KB at most; of one of no special kind nothing is looked at. Never throws: what cannot be shown says why.
 * Time and memory are bounded, whatever is in the files.
 */
export async function makePreview(
  artifact: LocalArtifact,
  parquet: ParquetOptions = {},
): Promise<ArtifactPreview | undefined> {
  try {
    const preview = await previewOf(artifact, parquet);
    return preview && fitPreview(preview);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { type: 'none', why: clip(`it could not be read: ${why}`, 300) };
  }
}

async function previewOf(
  artifact: LocalArtifact,
  parquet: ParquetOptions,
): Promise<ArtifactPreview | undefined> {
  switch (artifact.kind) {
    case 'Dataset':
      return await previewTable(artifact, parquet);
    case 'Report':
      return await previewText(artifact);
    case 'Model':
      return await previewMlmodel(artifact);
    case 'Metrics':
      return previewMetrics(artifact.values);
    case 'Artifact':
      return undefined;
  }
}

const HEAD_BYTES = 64 * 1024;
const MLMODEL_BYTES = 256 * 1024;

async function previewTable(
  { localPath, files }: LocalArtifact,
  parquet: ParquetOptions,
): Promise<ArtifactPreview> {
  const named = files.find((file) => /\.(parquet|csv|tsv)$/i.test(file)) ?? files[0] ?? '';
  const file = path.join(localPath, named);
  const where = named === '' ? {} : { file: clip(named, 200) };
  const { bytes, sizeBytes } = await readHead(file, HEAD_BYTES);
  if (sizeBytes === 0) return { type: 'none', why: 'it is empty' };
  if (bytes.subarray(0, 4).toString('latin1') === 'PAR1')
    return { ...(await previewParquet(file, parquet)), ...where };
  const text = bytes.includes(0) ? undefined : bytes.toString('utf8');
  const isNamed = /\.(csv|tsv)$/i.test(named);
  const table =
    text === undefined ? undefined : await previewCsv(file, { head: text, sizeBytes, named: isNamed });
  return table ? { ...table, ...where } : { type: 'none', why: 'it is neither CSV nor Parquet' };
}

async function previewText({ localPath, files }: LocalArtifact): Promise<ArtifactPreview> {
  const named = ['', 'index.html', 'report.html', 'index.md', 'README.md'].find((name) =>
    files.includes(name),
  );
  const name = named ?? files.find((file) => /\.(html?|md|markdown)$/i.test(file)) ?? files[0] ?? '';
  const { bytes, sizeBytes } = await readHead(path.join(localPath, name), HEAD_BYTES);
  const report = previewReport({ head: bytes.toString('utf8'), name, sizeBytes });
  if (!report) return { type: 'none', why: 'it is neither HTML nor Markdown' };
  return name === '' ? report : { ...report, file: clip(name, 200) };
}

async function previewMlmodel({ localPath, files }: LocalArtifact): Promise<ArtifactPreview> {
  if (!files.includes('MLmodel')) return { type: 'none', why: 'it has no file MLmodel' };
  const { bytes, sizeBytes } = await readHead(path.join(localPath, 'MLmodel'), MLMODEL_BYTES);
  if (sizeBytes > MLMODEL_BYTES) return { type: 'none', why: 'its file MLmodel is too large' };
  return previewModel(bytes.toString('utf8'));
}

function previewMetrics(values: MetricValues): ArtifactPreview {
  const entries = Object.entries(values);
  const shown = entries
    .slice(0, 100)
    .map(([name, value]) => [clip(name), typeof value === 'string' ? clip(value) : value] as const);
  return { type: 'metrics', values: Object.fromEntries(shown), count: entries.length };
}

async function readHead(
  file: string,
  limit: number,
): Promise<{ readonly bytes: Buffer; readonly sizeBytes: number }> {
  const handle = await openRegularFile(file);
  try {
    const { size: sizeBytes } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(limit, sizeBytes)), 0);
    return { bytes: buffer.subarray(0, bytesRead), sizeBytes };
  } finally {
    await handle.close();
  }
}
