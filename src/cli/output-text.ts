import type { StepOutput } from '../client/index.js';
import type { ArtifactPreview, PreviewColumn } from '../core/artifact-preview.js';
import { formatBytes } from '../core/quantity.js';
import { renderTable } from './plain-table.js';
import { visible } from './run-text.js';
import type { Colors } from './terminal.js';

/** An output of a step: what and where it is, and what it looks like. */
export function renderOutput(output: StepOutput, colors: Colors): string[] {
  const { name, kind, sizeBytes, fileCount, form, digest, uri, preview } = output;
  const files = form === 'directory' ? `, ${fileCount} files` : '';
  return [
    `  ${colors.bold(name)}  ${kind}, ${formatBytes(sizeBytes)}${files}, digest ${digest.slice(0, 12)}`,
    `    ${colors.dim(visible(uri))}`,
    ...(preview === undefined ? [] : renderPreview(preview)).map((line) => `    ${visible(line)}`),
  ];
}

function renderPreview(preview: ArtifactPreview): string[] {
  switch (preview.type) {
    case 'table': {
      const {
        columns,
        columnCount = columns.length,
        rowCount,
        rowsAtLeast,
        rows,
        format,
        file,
        note,
      } = preview;
      const more = rowsAtLeast ? 'at least ' : '';
      const head = `${format === 'csv' ? 'CSV' : 'Parquet'}${ofFile(file)}: ${more}${rowCount} rows, ${columnCount} columns`;
      const table = renderTable(
        columns.map(({ name, type }) => `${visible(name)} (${type})`),
        rows.map((row) => row.map(visible)),
      );
      return [
        head,
        ...(columns.length === 0 ? [] : table.split('\n')),
        ...(note === undefined ? [] : [`(${note})`]),
      ];
    }
    case 'report': {
      const title = preview.title === undefined ? '' : `"${preview.title}", `;
      return [
        `${preview.format === 'html' ? 'HTML' : 'Markdown'}${ofFile(preview.file)}: ${title}${formatBytes(preview.sizeBytes)}`,
      ];
    }
    case 'model': {
      const { flavors, mlflowVersion, inputs, outputs } = preview;
      const version = mlflowVersion === undefined ? '' : ` (MLflow ${mlflowVersion})`;
      return [
        `flavours: ${flavors.join(', ') || 'none'}${version}`,
        ...(inputs ? [`inputs: ${listColumns(inputs)}`] : []),
        ...(outputs ? [`outputs: ${listColumns(outputs)}`] : []),
      ];
    }
    case 'metrics': {
      const values = Object.entries(preview.values);
      const more = preview.count > values.length ? ` (${preview.count} in all)` : '';
      return [`${values.map(([name, value]) => `${name}=${value}`).join('  ')}${more}`];
    }
    case 'none':
      return [`(no preview: ${preview.why})`];
  }
}

function ofFile(file: string | undefined): string {
  return file === undefined ? '' : ` ${file}`;
}

function listColumns(columns: readonly PreviewColumn[]): string {
  return columns.map(({ name, type }) => `${name} ${type}`).join(', ');
}
