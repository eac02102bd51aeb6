import type { ArtifactPreview } from '../../core/artifact-preview.js';
import { PREVIEW_BYTES } from '../../core/artifact-preview.js';

/** Longest text of a cell, name or title. */
export const CELL_CHARS = 80;

/** A text on one line, cut where it is long. */
export function clip(text: string, chars = CELL_CHARS): string {
  // Cut before anything else looks at it: a cell may be megabytes long.
  const line = text
    .slice(0, chars * 4)
    .replace(/\s+/g, ' ')
    .replace(CONTROL, '\ufffd')
    .trim();
  return line.length <= chars && text.length <= chars * 4 ? line : `${line.slice(0, chars - 1)}…`;
}

// eslint-disable-next-line no-control-regex -- bytes that are no text, and what moves a cursor
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** The preview with as much left out as it takes: rows, then columns or values. */
export function fitPreview(preview: ArtifactPreview): ArtifactPreview {
  let fitting = preview;
  while (Buffer.byteLength(JSON.stringify(fitting)) > PREVIEW_BYTES) {
    const smaller = shrink(fitting);
    if (smaller === undefined) return { type: 'none', why: 'it is too large to be shown' };
    fitting = smaller;
  }
  return fitting;
}

function shrink(preview: ArtifactPreview): ArtifactPreview | undefined {
  switch (preview.type) {
    case 'table': {
      const { columns, rows, columnCount = columns.length } = preview;
      if (rows.length > 1) return { ...preview, rows: rows.slice(0, -1) };
      if (columns.length === 0) return undefined;
      const kept = Math.floor(columns.length * 0.75);
      return {
        ...preview,
        columns: columns.slice(0, kept),
        columnCount,
        rows: rows.map((row) => row.slice(0, kept)),
      };
    }
    case 'metrics': {
      const values = Object.entries(preview.values);
      const kept = values.slice(0, Math.floor(values.length * 0.75));
      return values.length === 0 ? undefined : { ...preview, values: Object.fromEntries(kept) };
    }
    case 'model': {
      const half = <T>(list: readonly T[]) => list.slice(0, Math.floor(list.length / 2));
      const { flavors, inputs = [], outputs = [] } = preview;
      if (flavors.length + inputs.length + outputs.length === 0) return undefined;
      return { ...preview, flavors: half(flavors), inputs: half(inputs), outputs: half(outputs) };
    }
    case 'report':
    case 'none':
      return undefined;
  }
}
