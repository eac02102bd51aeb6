import type { EndedPartition } from '../../core/backfill.js';
import type { BuildCode } from '../../core/made-partition.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';

/** A build as far as partitions are concerned. */
export interface KnownBuild {
  readonly digest: string;
  readonly pipelines: readonly PipelineDefinition[];
  /** Absent for one that was made before builds said it. */
  readonly code?: BuildCode;
}

/** The runs of partitions as Temporal knows them. */
export interface PartitionDirectory {
  /** Whether a run of that id is there, and open. */
  look(runId: string): Promise<'none' | 'open' | 'closed'>;
  /** Waits for the end of a run, over continuations. */
  awaitEnd(runId: string, signal: AbortSignal): Promise<EndedPartition>;
  /** The build that new runs use, as the server says; undefined where there is none, or where this machine does not have it. */
  readCurrentBuild(): Promise<KnownBuild | undefined>;
}
