/** One object outside the store, and how it is known again. */
export interface PinnedObject {
  /** Relative, with `/`, below a prefix or directory; empty for a single object. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex, of its bytes: known where they were read, or where the service keeps it. */
  readonly sha256?: string;
  readonly etag?: string;
  /** Of a bucket that keeps versions: this one is read, whatever came after it. */
  readonly versionId?: string;
}

/** What ties a dataset that is not in the store to the bytes that were there when the run pinned it. */
export interface DatasetPin {
  readonly pinnedAtMs: number;
  /** Where it is read: of a file the path with its links resolved, else the URI as it was given. */
  readonly source: string;
  /** The object, where it is a single one. */
  readonly object?: PinnedObject;
  /** Key in the store of the JSON list of {@link PinnedObject}, where there are several. */
  readonly listing?: string;
}
