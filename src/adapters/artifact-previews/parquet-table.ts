import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import type { AsyncBuffer, FileMetaData, SchemaTree } from 'hyparquet';
import type { TablePreview } from '../../core/artifact-preview.js';
import { clip } from './fit-preview.js';

const COLUMNS = 200;
const ROWS = 5;
/** Bytes that are read at once, and in all. */
const PIECE_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 16 * 1024 * 1024;
/** Bytes of a column that are unpacked to show its first values. */
const UNPACKED_BYTES = 4 * 1024 * 1024;

/** A Parquet file as a table: schema and number of rows from its end, the first rows of columns that are small enough. Runs in a thread that can be ended. */
export async function readParquetTable(file: string): Promise<TablePreview> {
  const handle = await open(file, 'r');
  try {
    const source = boundedBuffer(handle, (await handle.stat()).size);
    const metadata = await parquetMetadataAsync(source, { initialFetchSize: 64 * 1024 });
    const { children } = parquetSchema(metadata);
    const columns = children.slice(0, COLUMNS);
    const names = columns.map(({ element }) => element.name);
    const { rows, note } = await readRows(source, metadata, names);
    return {
      type: 'table',
      format: 'parquet',
      columns: columns.map((column) => ({ name: clip(column.element.name), type: typeOf(column) })),
      ...(children.length > columns.length ? { columnCount: children.length } : {}),
      rowCount: Number(metadata.num_rows),
      rows,
      ...(note === undefined ? {} : { note }),
    };
  } finally {
    await handle.close();
  }
}

function boundedBuffer(handle: FileHandle, byteLength: number): AsyncBuffer {
  let left = READ_BYTES;
  return {
    byteLength,
    slice: async (start, end = byteLength) => {
      const length = Math.min(end, byteLength) - start;
      left -= length;
      if (length > PIECE_BYTES || left < 0 || length < 0) throw new Error('it would take too much to read');
      const bytes = new Uint8Array(length);
      let at = 0;
      while (at < length) {
        const { bytesRead } = await handle.read(bytes, at, length - at, start + at);
        if (bytesRead === 0) throw new Error('the file ends too early');
        at += bytesRead;
      }
      return bytes.buffer;
    },
  };
}

async function readRows(
  file: AsyncBuffer,
  metadata: FileMetaData,
  names: readonly string[],
): Promise<{ readonly rows: readonly (readonly string[])[]; readonly note?: string }> {
  if (metadata.num_rows === 0n) return { rows: [] };
  const large = new Set<string>();
  for (const { meta_data: column } of metadata.row_groups[0]?.columns ?? [])
    if (column && Number(column.total_uncompressed_size) > UNPACKED_BYTES)
      large.add(column.path_in_schema[0] ?? '');
  const columns = names.filter((name) => !large.has(name));
  if (columns.length === 0) return { rows: [], note: 'its columns are too large to show rows' };
  try {
    const rowEnd = Math.min(ROWS, Number(metadata.num_rows));
    const found = await parquetReadObjects({
      file,
      metadata,
      columns,
      rowStart: 0,
      rowEnd,
      compressors: COMPRESSORS,
    });
    return {
      rows: found.map((row) => names.map((name) => (large.has(name) ? '…' : cellText(row[name])))),
      ...(large.size > 0 ? { note: 'large columns are left out' } : {}),
    };
  } catch (error) {
    return {
      rows: [],
      note: clip(`rows cannot be shown: ${error instanceof Error ? error.message : String(error)}`, 160),
    };
  }
}

const COMPRESSORS = {
  GZIP: (input: Uint8Array) => gunzipSync(input, { maxOutputLength: UNPACKED_BYTES }),
  BROTLI: (input: Uint8Array) => brotliDecompressSync(input, { maxOutputLength: UNPACKED_BYTES }),
};

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return clip(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '' : value.toISOString();
  if (value instanceof Uint8Array) return `(${value.length} bytes)`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  return clip(
    JSON.stringify(value, (_key, member: unknown) =>
      typeof member === 'bigint' ? String(member) : member,
    ) ?? '',
  );
}

function typeOf({ element, children }: SchemaTree): string {
  if (children.length > 0)
    return element.logical_type?.type === 'LIST' || element.converted_type === 'LIST' ? 'list' : 'group';
  return clip(
    (element.logical_type?.type ?? element.converted_type ?? element.type ?? 'unknown').toLowerCase(),
    30,
  );
}
