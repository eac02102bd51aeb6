import type { ArtifactStore } from '../../core/artifact-store.js';
import type { RetentionPolicy } from '../../core/retention.js';
import type { LineageRepairDeps } from '../lineage-repair.js';
import type { GcHolder } from './gc-lock.js';
import type { RunSource } from './run-source.js';

/** A run whose artifact a version of a registered model was made from. */
export interface RegisteredRun {
  readonly executionId: string;
  readonly runId: string;
  readonly modelName: string;
}

/** What retention stands on. */
export interface RetentionDeps {
  readonly project: string;
  readonly store: ArtifactStore;
  readonly runs: RunSource;
  /**
   * Asks the model registry; absent where the project has none.
   * @throws AnnealError where it does not answer: then nothing may be removed.
   */
  readonly registered?: (() => Promise<readonly RegisteredRun[]>) | undefined;
  /** What builds say of their code, for records of lineage that have to be made again before a run goes. */
  readonly readCode?: LineageRepairDeps['readCode'];
  readonly policy: RetentionPolicy;
  readonly clock: { nowMs(): number };
  readonly holder: GcHolder;
}

/** How far it is. `total` is absent where it is not known. */
export interface GcProgress {
  readonly phase: 'cache' | 'runs' | 'histories' | 'removing';
  readonly done: number;
  readonly total?: number;
}

/** What both passes are told by their caller. */
export interface GcOptions {
  readonly onProgress?: (progress: GcProgress) => void;
  readonly signal?: AbortSignal;
}
