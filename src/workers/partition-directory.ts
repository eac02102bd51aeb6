import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { KnownBuild, PartitionDirectory } from '../activities/ports/partition-directory.js';
import type { EndedPartition } from '../core/backfill.js';
import { isFailureCode } from '../core/failures.js';

/** Temporal and the build that new runs use as {@link PartitionDirectory}. */
export function createPartitionDirectory(
  client: Client,
  readCurrentBuild: () => Promise<KnownBuild | undefined>,
): PartitionDirectory {
  return {
    readCurrentBuild,
    look: async (runId) => {
      try {
        const { status } = await client.workflow.getHandle(runId).describe();
        return status.name === 'RUNNING' ? 'open' : 'closed';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return 'none';
        throw error;
      }
    },
    awaitEnd: async (runId, signal) =>
      await client.withAbortSignal(signal, async () => {
        const handle = client.workflow.getHandle(runId);
        try {
          await handle.result();
          return { runId };
        } catch (error) {
          signal.throwIfAborted();
          // Removed, or forgotten, while it was waited for: nobody can say any more how it ended.
          if (error instanceof WorkflowNotFoundError) return { runId, code: 'RunNotFound' };
          const code = codeOf(error);
          if (code !== undefined) return { runId, code };
          // Its result, or its failure, may be unreadable here, for ever; how it ended is not.
          const { status } = await handle.describe();
          if (status.name === 'RUNNING') throw error;
          return endOf(runId, status.name);
        }
      }),
  };
}

function endOf(runId: string, status: string): EndedPartition {
  if (status === 'COMPLETED') return { runId };
  return { runId, code: status === 'CANCELLED' ? 'cancelled' : 'Unknown' };
}

/** What a failed run says; undefined for what is no end of a run. */
function codeOf(error: unknown): EndedPartition['code'] {
  if (!(error instanceof Error) || error.name !== 'WorkflowFailedError') return undefined;
  const { cause } = error;
  if (cause instanceof Error && cause.name === 'CancelledFailure') return 'cancelled';
  const type: unknown = cause instanceof Error && 'type' in cause ? cause.type : undefined;
  return typeof type === 'string' && isFailureCode(type) ? type : 'Unknown';
}
