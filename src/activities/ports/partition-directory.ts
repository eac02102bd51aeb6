import type { EndedPartition } from '../../core/backfill.js';

/** The runs of partitions as Temporal knows them. */
export interface PartitionDirectory {
  /** Whether a run of that id is there, and open. */
  look(runId: string): Promise<'none' | 'open' | 'closed'>;
  /** Waits for the end of a run, over continuations. */
  awaitEnd(runId: string, signal: AbortSignal): Promise<EndedPartition>;
  /** Digest of the build that new runs use. */
  readCurrentBuild(): Promise<string | undefined>;
}
