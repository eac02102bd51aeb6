import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { ClientDeps } from './client-deps.js';

/** A call that was only just sent out is no news. */
const PATIENCE_MS = 3_000;
/** A worker that is alive asks at least once a minute; the server remembers dead ones for five. */
const POLLER_ALIVE_MS = 75_000;
/** Queues that are looked at in one go. */
const MAXIMUM_QUEUES = 5;
/** It is only one sentence: what is known of the run does not wait for long. */
const ANSWER_MS = 2_000;
const TASK_QUEUE_TYPE_ACTIVITY = 2;
const PENDING_SCHEDULED = 1;

/** One sentence when something that the run waits for lies in a task queue that no worker asks for work; else `undefined`. */
export async function findUnservedPool(
  deps: ClientDeps,
  { raw }: Pick<WorkflowExecutionDescription, 'raw'>,
): Promise<string | undefined> {
  const nowMs = deps.clock.nowMs();
  const queues = (raw.pendingActivities ?? []).flatMap((activity) => {
    const waiting = activity.state === PENDING_SCHEDULED;
    const since = toMs(activity.scheduledTime);
    const name = activity.activityOptions?.taskQueue?.name ?? '';
    return waiting && name !== '' && nowMs - since > PATIENCE_MS ? [name] : [];
  });
  for (const queue of [...new Set(queues)].slice(0, MAXIMUM_QUEUES))
    if (!(await isServed(deps, queue))) return describeQueue(queue);
  return undefined;
}

async function isServed({ temporal, clock }: ClientDeps, name: string): Promise<boolean> {
  try {
    const { pollers } = await temporal.withDeadline(
      clock.nowMs() + ANSWER_MS,
      async () =>
        await temporal.workflowService.describeTaskQueue({
          namespace: temporal.options.namespace,
          taskQueue: { name },
          taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
        }),
    );
    return (pollers ?? []).some((poller) => clock.nowMs() - toMs(poller.lastAccessTime) < POLLER_ALIVE_MS);
  } catch {
    // Who serves the queue is not known; nothing is claimed.
    return true;
  }
}

/** A pool's queue is `<project>/<pool>`, that of a process pool `<project>/<pool>@<host>`. */
function describeQueue(queue: string): string {
  const [, pool = queue, host] = /^[^/]+\/(.+?)(?:@(.+))?$/.exec(queue) ?? [];
  const where = host === undefined ? '' : ` on ${host}`;
  return `No worker polls pool "${pool}"${where} (none runs, or all its slots are taken), and a call of this run waits for it. Start one there with "anneal worker --pools ${pool}", or "anneal up" for all pools.`;
}

function toMs(
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined,
): number {
  return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
}
