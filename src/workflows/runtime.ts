import {
  ActivityCancellationType,
  CancellationScope,
  executeChild,
  isCancellation,
  log,
  proxyActivities,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { PipelineActivities, SystemActivities } from '../core/activities.js';
import { digestOfText } from '../core/digest.js';
import { parseDuration } from '../core/duration.js';
import { BUDGET_MEMO, leftOf } from '../core/budget.js';
import type { Json } from '../core/json.js';
import type { Notification } from '../core/notifications.js';
import { CACHE_MEMO, STARTED_BY_MEMO, systemTaskQueue } from '../core/run.js';
import type { Message, PipelineRuntime, TaskOptions } from '../pipeline/runtime.js';
import type { Approvals } from './approvals.js';
import { toFailure } from './failures.js';
import type { LaneClient } from './lane-client.js';
import { createModelCalls } from './model-calls.js';
import { pinDataset } from './pin-call.js';
import type { RunContext } from './run-context.js';
import { shown } from './shown-call.js';
import { runStep } from './step-call.js';

/** The runtime behind the authoring API: every answer passes through the run's journal. */
export function createRuntime(context: RunContext, approvals: Approvals, lane: LaneClient): PipelineRuntime {
  return {
    step: (request) => runStep(context, request),
    task: async (name, input, options) => await runTask(context, name, { input, options }),
    pipeline: async (name, parameters) => await runChild(context, name, parameters),
    pinDataset: async (name, uri) => await pinDataset(context, name, uri),
    sleep: async (ms) => await durableSleep(context, ms),
    now: () => context.callNow({ kind: 'now', name: '' }, () => Date.now()),
    random: () => context.callNow({ kind: 'random', name: '' }, () => Math.random()),
    approval: (gate, options) =>
      context.call({ kind: 'approval', name: gate, input: options.subject.digest }, (call) =>
        approvals.wait(context, call, { name: gate, options }),
      ),
    ...createModelCalls(context, lane),
    notify: async (message) => await notifyPeople(context, message),
    cleanup: async (fn) => await CancellationScope.nonCancellable(fn),
    log: (message, fields) => log.info(message, fields),
  };
}

async function runTask(
  context: RunContext,
  name: string,
  request: { readonly input: Json; readonly options: TaskOptions },
): Promise<Json> {
  return await shown(context, { kind: 'task', name, input: request.input }, async (call) => {
    await call.begin();
    const { runTask: run } = proxyActivities<PipelineActivities>({
      startToCloseTimeout: parseDuration(request.options.timeout ?? '1m'),
      heartbeatTimeout: '20s',
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      retry: { maximumAttempts: request.options.attempts ?? 3, maximumInterval: '1m' },
      summary: name,
    });
    return { value: await run({ task: name, input: request.input }), detail: '' };
  });
}

/** A sub-pipeline is a run of its own; ended with its parent, found by its own id. */
async function runChild(
  context: RunContext,
  name: string,
  parameters: { readonly [name: string]: Json },
): Promise<unknown> {
  return await shown(context, { kind: 'pipeline', name, input: parameters }, async (call) => {
    await call.begin();
    const { workflowId, runId } = workflowInfo();
    const childId = childWorkflowId(
      workflowId,
      `${name}-${digestOfText(`${runId}/${call.callId}`).slice(0, 8)}`,
    );
    try {
      const value: unknown = await executeChild(name, {
        workflowId: childId,
        args: [parameters],
        parentClosePolicy: 'REQUEST_CANCEL',
        memo: childMemo(context),
        staticSummary: `${name} of ${workflowId}`.slice(0, 200),
      });
      return { value, detail: childId };
    } catch (error) {
      if (!isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
      throw toFailure(
        'PipelineError',
        `Sub-pipeline ${childId} was cancelled, but not by this run. Start the run again.`,
      );
    }
  });
}

/** What a run was told when it was started holds for its sub-pipelines too. */
function childMemo({ snapshot: { cache }, budget: { status: budget } }: RunContext): {
  readonly [name: string]: unknown;
} {
  const startedBy: unknown = workflowInfo().memo?.[STARTED_BY_MEMO];
  return {
    ...(cache && { [CACHE_MEMO]: cache }),
    ...(budget && { [BUDGET_MEMO]: { atMost: leftOf(budget) } }),
    ...(startedBy !== undefined && { [STARTED_BY_MEMO]: startedBy }),
  };
}

/** Longest id of a parent that its children's ids begin with; Temporal takes 1,000 characters. */
const PARENT_ID_LIMIT = 800;

function childWorkflowId(parent: string, name: string): string {
  return `${parent.length <= PARENT_ID_LIMIT ? parent : digestOfText(parent).slice(0, 32)}/${name}`;
}

async function durableSleep(context: RunContext, ms: number): Promise<void> {
  await context.call({ kind: 'sleep', name: '', input: ms }, async (call) => {
    const deadlineMs = call.pending?.deadlineMs ?? Date.now() + ms;
    call.setPending({ deadlineMs });
    await sleep(Math.max(1, deadlineMs - Date.now()), { summary: 'sleep' });
  });
}

/** People are told as well as can be; a channel that is down never fails the run. */
async function notifyPeople(context: RunContext, message: Message): Promise<void> {
  await context.call({ kind: 'notify', name: message.subject, input: message.text }, async (call) => {
    await call.begin();
    const { workflowId: runId } = workflowInfo();
    const { executionId, pipeline } = context.view;
    await tell(context, { id: call.callId, event: 'message', ...message, runId, executionId, pipeline });
  });
}

/** Hands a message over for delivery, which is no matter of the run. That takes moments; without any system worker ten minutes are waited. */
export async function tell(context: RunContext, notification: Notification): Promise<void> {
  const { notify } = proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(context.snapshot.project),
    startToCloseTimeout: '30s',
    scheduleToCloseTimeout: '10m',
    retry: { maximumInterval: '30s' },
    summary: `tell ${notification.to.join(', ')}`.slice(0, 200),
  });
  try {
    await notify(notification);
  } catch (error) {
    if (CancellationScope.current().consideredCancelled) throw error;
    log.warn('nobody was told', { subject: notification.subject, error: String(error) });
  }
}
