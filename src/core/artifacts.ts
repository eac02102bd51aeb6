import { digestOf } from './digest.js';
import type { Json } from './json.js';
import type { ArtifactPreview } from './artifact-preview.js';
import type { DatasetPin } from './dataset-pin.js';

/** What an artifact is for; decides how it is shown and what may take it as input. */
export type ArtifactKind = 'Dataset' | 'Model' | 'Metrics' | 'Report' | 'Artifact';

/** Values of a Metrics artifact: what the step wrote into its JSON file. */
export type MetricValues = { readonly [name: string]: number | string };

/** A typed file or directory, passed by URI and digest, never by value. */
export interface ArtifactRef<K extends ArtifactKind = ArtifactKind, V = unknown> {
  readonly kind: K;
  /** Where the bytes are: `file:///...` or `s3://bucket/...`. */
  readonly uri: string;
  /** Hex sha256: of the bytes of a file, or of the tree listing of a directory ({@link treeDigest}). */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly form: 'file' | 'directory';
  /** For Metrics the declared values, else an empty object. */
  readonly values: V;
  /** Of a dataset that is not in the store: how it is known again. Absent: the bytes are in the store. */
  readonly pin?: DatasetPin;
}

/** One regular file of an artifact; `path` is relative, with `/` on every system. */
export interface FileEntry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Digest of a directory: sha256 of the canonical JSON of its files, sorted by path. Empty directories and file modes do not count. */
export function treeDigest(files: readonly FileEntry[]): string {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return digestOf(sorted.map((file) => [file.path, file.sizeBytes, file.sha256]));
}

/** One output as the manifest records it. */
export interface ManifestOutput extends ArtifactRef {
  readonly files: readonly FileEntry[];
  /** What it looks like; absent for artifacts of no special kind. */
  readonly preview?: ArtifactPreview;
}

/** An artifact as lineage knows it. */
export interface LineageArtifact extends Pick<ArtifactRef, 'kind' | 'uri' | 'digest' | 'sizeBytes'> {
  /** Of data that others keep: where it was pinned. */
  readonly source?: string;
}

/** Of what, by which code and for whom an attempt works; known when it begins. */
export interface AttemptOrigin {
  readonly runId: string;
  readonly project: string;
  readonly pipeline: string;
  readonly step: string;
  readonly callId: string;
  readonly attempt: number;
  readonly build: string;
  readonly codeDigest: string;
  readonly image?: string;
  /** Absent where they are long. */
  readonly parameters?: { readonly [name: string]: Json };
  readonly inputs: { readonly [name: string]: LineageArtifact };
}

/** What is known of the memory of an attempt's command, where the place that runs it limits or counts it. */
export interface AttemptMemory {
  /** The limit that held. */
  readonly limitBytes?: number;
  /** Processes of the attempt that were killed for lack of memory; absent: none. */
  readonly kills?: number;
}

/**
 * What an attempt made. Written last: the attempt succeeded if and only if this is in the store
 * (`<attempt prefix>/manifest.json`).
 */
export interface Manifest {
  readonly version: 1;
  readonly attempt: string;
  readonly outputs: { readonly [name: string]: ManifestOutput };
  readonly parameters: { readonly [name: string]: Json };
  /** From it the attempt's lineage can be recorded again. Absent in manifests of earlier versions. */
  readonly origin?: AttemptOrigin;
  readonly memory?: AttemptMemory;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}
