/** One column of a table. */
export interface PreviewColumn {
  readonly name: string;
  readonly type: string;
}

/** A data set as a table: of a directory its first file that is one. */
export interface TablePreview {
  readonly type: 'table';
  readonly format: 'csv' | 'parquet';
  /** Which file of a directory. */
  readonly file?: string;
  readonly columns: readonly PreviewColumn[];
  /** Where more columns are than are listed. */
  readonly columnCount?: number;
  readonly rowCount: number;
  /** The rows were not counted to the end: there are more. */
  readonly rowsAtLeast?: true;
  /** The first ones, cells as text, cut where they are long. */
  readonly rows: readonly (readonly string[])[];
  /** Why there are no rows, or not all that there should be. */
  readonly note?: string;
}

/** A report's title. */
export interface ReportPreview {
  readonly type: 'report';
  readonly format: 'html' | 'markdown';
  readonly file?: string;
  readonly title?: string;
  readonly sizeBytes: number;
}

/** What an MLmodel file says. */
export interface ModelPreview {
  readonly type: 'model';
  readonly flavors: readonly string[];
  readonly mlflowVersion?: string;
  readonly inputs?: readonly PreviewColumn[];
  readonly outputs?: readonly PreviewColumn[];
}

/** Values of metrics, the first ones where there are many. */
export interface MetricsPreview {
  readonly type: 'metrics';
  readonly values: { readonly [name: string]: number | string };
  readonly count: number;
}

/** What an artifact looks like: at most {@link PREVIEW_BYTES} of JSON, made where it was made. `none` says why there is nothing to show. */
export type ArtifactPreview =
  | TablePreview
  | ReportPreview
  | ModelPreview
  | MetricsPreview
  | { readonly type: 'none'; readonly why: string };

/** Longest JSON of a preview, in bytes of UTF-8. */
export const PREVIEW_BYTES = 4_096;
