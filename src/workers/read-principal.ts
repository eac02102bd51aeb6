import type { Client } from '@temporalio/client';

/**
 * The caller that the server authenticated when the run was started, from its record of the start. Undefined where the server
 * authenticates nobody; the name that a client gives itself is not looked at.
 */
export async function readPrincipal(
  { workflowService, options }: Pick<Client, 'workflowService' | 'options'>,
  { workflowId, epoch }: { readonly workflowId: string; readonly epoch: string },
): Promise<string | undefined> {
  const first = async (runId: string) =>
    (
      await workflowService.getWorkflowExecutionHistory({
        namespace: options.namespace,
        execution: { workflowId, runId },
        maximumPageSize: 1,
      })
    ).history?.events?.[0];
  const event = await first(epoch);
  const chain = event?.workflowExecutionStartedEventAttributes?.firstExecutionRunId ?? epoch;
  // An execution that continues another one was started by the server itself.
  const start = chain === epoch ? event : await first(chain);
  return start?.principal?.name || undefined;
}
