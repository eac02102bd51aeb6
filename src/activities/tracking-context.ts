import { Context } from '@temporalio/activity';
import type { ActivityContext } from './ports/activity-context.js';

/** The context of the Temporal activity that is running. */
export function readActivityContext(): ActivityContext {
  const context = Context.current();
  const { workflowExecution, workflowNamespace, activityNamespace } = context.info;
  if (workflowExecution === undefined)
    throw new Error(`Activity ${context.info.activityType} was not called by a workflow.`);
  return {
    namespace: workflowNamespace ?? activityNamespace,
    workflowId: workflowExecution.workflowId,
    epoch: workflowExecution.runId,
    attempt: context.info.attempt,
    signal: context.cancellationSignal,
    heartbeat: (details) => {
      context.heartbeat(details);
    },
  };
}

const HEARTBEAT_MS = 5_000;

/** Heartbeats while `work` runs: a cancellation reaches an activity only with the answer to a heartbeat. */
export async function withHeartbeat<T>(
  context: ActivityContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timer = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
  try {
    return await work(context.signal);
  } finally {
    clearInterval(timer);
  }
}
