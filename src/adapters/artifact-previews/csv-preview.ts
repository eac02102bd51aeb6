import { createReadStream } from 'node:fs';
import type { PreviewColumn, TablePreview } from '../../core/artifact-preview.js';
import { clip } from './fit-preview.js';

/** Columns that are looked at. */
const COLUMNS = 200;
/** Rows that are shown, and those that types are guessed from. */
const ROWS = 5;
const SAMPLE = 100;
/** A row above this is no row of a table. */
const ROW_BYTES = 1024 * 1024;

/** How much of a file is read to count its rows. */
export interface CsvLimits {
  readonly bytes: number;
  readonly ms: number;
}

const LIMITS: CsvLimits = { bytes: 64 * 1024 * 1024, ms: 1_500 };

/** A CSV file as a table; `undefined` where it is none. Reads its beginning, and counts rows as far as the limits go. */
export async function previewCsv(
  file: string,
  of: { readonly head: string; readonly sizeBytes: number; readonly named: boolean },
  limits = LIMITS,
): Promise<TablePreview | undefined> {
  const delimiter = guessDelimiter(of.head);
  if (delimiter === undefined && !of.named) return undefined;
  const { parse } = await import('csv-parse');
  const source = createReadStream(file, { end: limits.bytes - 1 });
  const parser = source.pipe(
    parse({
      delimiter: delimiter ?? ',',
      bom: true,
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      max_record_size: ROW_BYTES,
    }),
  );
  source.once('error', (error) => parser.destroy(error));
  const sample: string[][] = [];
  const untilMs = performance.now() + limits.ms;
  let records = 0;
  let whole = of.sizeBytes <= limits.bytes;
  let note: string | undefined;
  try {
    for await (const record of parser) {
      records += 1;
      if (sample.length <= SAMPLE) sample.push((record as string[]).slice(0, COLUMNS));
      if (records % 1_000 === 0 && performance.now() > untilMs) {
        whole = false;
        break;
      }
    }
  } catch (error) {
    if (records === 0) throw error;
    // What was cut off in the middle of a row is no fault of the file.
    if (whole)
      note = clip(
        `row ${records + 1} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        160,
      );
    whole = false;
  } finally {
    source.destroy();
    parser.destroy();
  }
  return toTable(sample, { records, whole, note });
}

function toTable(
  sample: readonly string[][],
  read: { readonly records: number; readonly whole: boolean; readonly note: string | undefined },
): TablePreview {
  const [first = []] = sample;
  const header = isHeader(first);
  const rows = header ? sample.slice(1) : sample;
  const columns = first.map((name, at): PreviewColumn => ({
    name: header ? clip(name) : `column ${at + 1}`,
    type: guessType(rows.map((row) => row[at] ?? '')),
  }));
  return {
    type: 'table',
    format: 'csv',
    columns,
    rowCount: read.records - (header ? 1 : 0),
    ...(read.whole ? {} : { rowsAtLeast: true as const }),
    rows: rows.slice(0, ROWS).map((row) => row.map((cell) => clip(cell))),
    ...(read.note === undefined ? {} : { note: read.note }),
  };
}

/** The delimiter that the first lines have most, and each of them. */
function guessDelimiter(head: string): string | undefined {
  const lines = head
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .slice(0, 5);
  // The last one may be cut off, but a file of one line has no other.
  const whole = lines.length > 1 ? lines.slice(0, -1) : lines;
  const counts = [',', '\t', ';', '|'].map((delimiter) => ({
    delimiter,
    least: Math.min(...whole.map((line) => line.split(delimiter).length - 1)),
  }));
  const [best] = counts.toSorted((a, b) => b.least - a.least);
  return best !== undefined && best.least > 0 && Number.isFinite(best.least) ? best.delimiter : undefined;
}

function isHeader(row: readonly string[]): boolean {
  return row.every((cell) => cell !== '' && !NUMBER.test(cell)) && new Set(row).size === row.length;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

function guessType(cells: readonly string[]): string {
  const filled = cells.filter((cell) => cell !== '');
  if (filled.length === 0) return 'empty';
  if (filled.every((cell) => /^[+-]?\d{1,18}$/.test(cell))) return 'integer';
  if (filled.every((cell) => cell.length < 40 && NUMBER.test(cell))) return 'number';
  return filled.every((cell) => /^(true|false)$/i.test(cell)) ? 'boolean' : 'string';
}
