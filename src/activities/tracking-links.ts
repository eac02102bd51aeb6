import type { ActivityContext } from './ports/activity-context.js';

type Execution = Pick<ActivityContext, 'namespace' | 'workflowId' | 'epoch'>;

/** Address of a workflow execution in Temporal's Web UI. */
export function workflowUrl(temporalUiUrl: string, { namespace, workflowId, epoch }: Execution): string {
  const [ns, id] = [namespace, workflowId].map(encodeURIComponent);
  return `${temporalUiUrl}/namespaces/${ns ?? ''}/workflows/${id ?? ''}/${epoch}/history`;
}

/** Tags of a tracked run that lead back to Temporal. */
export function temporalTags(
  { namespace, workflowId, epoch }: Execution,
  url: string | undefined,
): { [name: string]: string } {
  return {
    'temporal.namespace': namespace,
    'temporal.workflow_id': workflowId,
    'temporal.run_id': epoch,
    ...(url === undefined ? {} : { 'temporal.workflow_url': url }),
  };
}
