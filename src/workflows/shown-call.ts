import { ActivityCancellationType, CancellationScope, proxyActivities } from '@temporalio/workflow';
import type { SystemActivities } from '../core/activities.js';
import { systemTaskQueue, type CallStatus } from '../core/run.js';
import type { CallIdentity, LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';

/** Activities of Anneal's own workers. */
export function system(context: RunContext, summary: string) {
  return proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(context.snapshot.project),
    startToCloseTimeout: '15m',
    heartbeatTimeout: '20s',
    retry: { maximumInterval: '30s' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary,
  });
}

/** Makes a call that the status shows. */
export async function shown<T>(
  context: RunContext,
  identity: CallIdentity & { readonly kind: CallStatus['kind'] },
  work: (call: LiveCall) => Promise<{ readonly value: T; readonly detail: string }>,
): Promise<T> {
  return await context.call(identity, async (call) => {
    const status = {
      id: call.callId,
      kind: identity.kind,
      name: identity.name,
      attempt: 1,
      startedAtMs: Date.now(),
    } as const;
    context.view.put({ ...status, state: 'running' });
    try {
      const { value, detail } = await work(call);
      context.view.put({ ...status, state: 'succeeded', endedAtMs: Date.now(), detail });
      return value;
    } catch (error) {
      context.view.put({
        ...status,
        state: CancellationScope.current().consideredCancelled ? 'cancelled' : 'failed',
        endedAtMs: Date.now(),
      });
      throw error;
    }
  });
}
