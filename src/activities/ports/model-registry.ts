import type { FileEntry } from '../../core/artifacts.js';

/** A model's files, fetched one by one as they are needed. */
export interface ModelFiles {
  readonly entries: readonly FileEntry[];
  /** Calls `use` with a local path of the file, whose bytes were checked against the entry; the path is gone afterwards. */
  withFile<T>(entry: FileEntry, use: (localPath: string) => Promise<T>): Promise<T>;
}

/** A model to be registered once. */
export interface ModelRegistration {
  readonly modelName: string;
  /** Hex digest; the same key gives the same version. */
  readonly key: string;
  readonly files: ModelFiles;
  readonly metrics: { readonly [name: string]: number };
  /** Tags of the version and of the model behind it. */
  readonly tags: { readonly [name: string]: string };
  /** Markdown, for people. A version that has a description of its own keeps it. */
  readonly description?: string;
  /** The run that the model comes from. */
  readonly source?: { readonly experimentId: string; readonly runId: string };
  /** The run of the step that wrote the model, which may be of another pipeline's run: the model is shown as its output, too. */
  readonly madeBy?: { readonly runId: string };
  /** The attempt that made the model: what its command registered itself is adopted, where it has the same bytes. */
  readonly attemptName?: string;
}

/** A version of a registered model. */
export interface RegisteredVersion {
  readonly version: string;
  readonly modelId?: string;
  readonly tags: { readonly [name: string]: string };
  /** Of a registration: something to tell people. */
  readonly notice?: string;
}

/** A name in the registry. */
export interface RegisteredName {
  readonly aliases: { readonly [alias: string]: string };
  readonly tags: { readonly [name: string]: string };
}

/**
 * The model registry. All calls may be repeated; calls for one model name come one after the other (the lane).
 *
 * Errors: `AnnealError` with `TrackingUnavailable`, `TrackingRefused`, or what {@link ModelFiles} throws.
 */
export interface ModelRegistry {
  /** Registers exactly once: an answer that got lost is searched for, a second version of the same key is removed. */
  register(registration: ModelRegistration, signal: AbortSignal): Promise<RegisteredVersion>;
  /** Null where the model, or the alias on it, does not exist. */
  findByAlias(
    of: { readonly modelName: string; readonly alias: string },
    signal: AbortSignal,
  ): Promise<RegisteredVersion | null>;
  findVersion(
    of: { readonly modelName: string; readonly version: string },
    signal: AbortSignal,
  ): Promise<RegisteredVersion | null>;
  /** Aliases and tags of a model, read at one moment; null where there is no such model. */
  readModel(modelName: string, signal: AbortSignal): Promise<RegisteredName | null>;
  /**
   * Points an alias at a version, or removes it (`null`). MLflow has no compare-and-set: `doubtful` says that an earlier try of this call
   * may still be carried out, after whatever comes next.
   */
  setAlias(
    alias: { readonly modelName: string; readonly alias: string; readonly version: string | null },
    signal: AbortSignal,
  ): Promise<{ readonly doubtful: boolean }>;
  /** Sets tags of the model itself; `null` removes one. */
  setModelTags(
    of: { readonly modelName: string; readonly tags: { readonly [name: string]: string | null } },
    signal: AbortSignal,
  ): Promise<void>;
  setTags(
    of: {
      readonly modelName: string;
      readonly version: string;
      readonly tags: { readonly [name: string]: string };
    },
    signal: AbortSignal,
  ): Promise<void>;
}
