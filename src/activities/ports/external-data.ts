import type { PinnedObject } from '../../core/dataset-pin.js';
import type { FoundData } from '../../core/pinned-data.js';

/** Data that others keep: `s3://`, `https://` and `file://`. */
export interface ExternalData {
  /**
   * Looks at what a URI stands for now, so that it can be known again.
   * @throws AnnealError InvalidInput where nothing is there, or it may not be read; SourceUnavailable where it is worth another try.
   */
  find(uri: string, signal: AbortSignal): Promise<FoundData>;
  /**
   * Puts one pinned object at a local path that is free, when it has been verified to be the one that was pinned.
   * @throws AnnealError InputChanged when it is not.
   */
  fetch(object: PinnedObject, place: FetchPlace): Promise<void>;
}

/** From where, and where to. */
export interface FetchPlace {
  /** Of the whole dataset: `DatasetPin.source`. */
  readonly source: string;
  readonly localPath: string;
}
