import { WorkflowNotFoundError } from '@temporalio/client';
import { isActivityOf } from '../core/claims.js';
import type { Executions } from '../activities/ports/executions.js';

/** What is asked of a Temporal client. */
export interface ExecutionDirectory {
  readonly workflow: {
    getHandle(
      workflowId: string,
      runId?: string,
    ): {
      describe(): Promise<{
        readonly status: { readonly name: string };
        readonly raw: {
          readonly workflowExecutionInfo?: { readonly firstRunId?: string | null } | null;
          readonly pendingActivities?: readonly { readonly activityId?: string | null }[] | null;
          readonly pendingWorkflowTask?: object | null;
        };
      }>;
    };
  };
}

/** Temporal as {@link Executions}. */
export function createExecutions({ workflow }: ExecutionDirectory): Executions {
  return {
    isClosed: async ({ workflowId, runId }) =>
      (await workflow.getHandle(workflowId, runId).describe()).status.name !== 'RUNNING',
    isChainClosed: async ({ workflowId, executionId }) => {
      try {
        const { status, raw } = await workflow.getHandle(workflowId).describe();
        // Describing answers for whoever has the id now, which a later run may have taken. Older servers do not name the chain.
        const first = raw.workflowExecutionInfo?.firstRunId;
        const isAnother = typeof first === 'string' && first !== '' && first !== executionId;
        return isAnother || status.name !== 'RUNNING';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return true;
        throw error;
      }
    },
    isHolderLive: async (holder) => {
      try {
        const { status, raw } = await workflow.getHandle(holder.runId, holder.epoch).describe();
        if (status.name !== 'RUNNING') return false;
        // A workflow task may be about to start the attempt, or to be given it.
        if (raw.pendingWorkflowTask) return true;
        return (raw.pendingActivities ?? []).some(({ activityId }) => isActivityOf(holder, activityId ?? ''));
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },
  };
}
