import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { PartitionDirectory } from '../activities/ports/partition-directory.js';
import type { EndedPartition } from '../core/backfill.js';
import { isFailureCode } from '../core/failures.js';

/** Temporal and the builds of this machine as {@link PartitionDirectory}. */
export function createPartitionDirectory(
  client: Client,
  readCurrentBuild: () => Promise<string | undefined>,
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
        try {
          await client.workflow.getHandle(runId).result();
          return { runId };
        } catch (error) {
          signal.throwIfAborted();
          // Removed, or forgotten, while it was waited for: nobody can say any more how it ended.
          if (error instanceof WorkflowNotFoundError) return { runId, code: 'RunNotFound' };
          return { runId, code: codeOf(error) };
        }
      }),
  };
}

/** What a failed run says. @throws what is no end of a run. */
function codeOf(error: unknown): NonNullable<EndedPartition['code']> {
  if (!(error instanceof Error) || error.name !== 'WorkflowFailedError') throw error;
  const { cause } = error;
  if (cause instanceof Error && cause.name === 'CancelledFailure') return 'cancelled';
  const type: unknown = cause instanceof Error && 'type' in cause ? cause.type : undefined;
  return typeof type === 'string' && isFailureCode(type) ? type : 'Unknown';
}
