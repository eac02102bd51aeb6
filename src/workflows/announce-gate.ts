import {
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type {
  ApprovalAnnouncement,
  ApproversRequest,
  PipelineActivities,
  ResolvedApprovers,
  SystemActivities,
} from '../core/activities.js';
import { decidersOf, type Gate, type RecordedDecision } from '../core/approval.js';
import { whoIsTold } from '../core/notification-routes.js';
import { systemTaskQueue } from '../core/run.js';
import type { ApprovalRequest } from '../pipeline/runtime.js';
import { describeGate } from './gate.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';

/** Who may decide, as anneal.yaml lists people at this moment. */
export async function resolveApprovers(
  call: LiveCall,
  {
    name,
    options,
    starter,
  }: {
    readonly name: string;
    readonly options: ApprovalRequest;
    readonly starter?: ApproversRequest['starter'] | undefined;
  },
): Promise<ResolvedApprovers> {
  await call.begin();
  const local = proxyLocalActivities<PipelineActivities>({
    startToCloseTimeout: '10s',
    summary: `who may decide on ${name}`,
  });
  const { approvers, escalate, veto, allowUnverified = false } = options;
  const resolved = await local.resolveApprovers({
    gate: name,
    allowUnverified,
    ...(approvers === undefined ? {} : { approvers }),
    ...(escalate === undefined ? {} : { escalateTo: escalate.to }),
    ...(veto === undefined ? {} : { veto }),
    ...(starter === undefined ? {} : { starter }),
  });
  call.end();
  return resolved;
}

/** What is told, and why. */
export interface Announced {
  readonly why: ApprovalAnnouncement['why'];
  readonly gate: Gate;
  readonly options: ApprovalRequest;
  readonly counted: readonly RecordedDecision[];
}

/** Tells the people who may still decide; a channel that is down harms nothing but the message. */
export async function announceGate(context: RunContext, call: LiveCall, announced: Announced): Promise<void> {
  const { why, gate, options, counted } = announced;
  const told = why === 'escalated' ? gate.escalation?.approvers : decidersOf(gate, Date.now());
  const to = (told ?? [])
    .filter(({ name }) => name !== gate.excluded && !counted.some(({ by }) => by === name))
    .flatMap(({ email }) => (email === undefined ? [] : [email]));
  to.push(...whoIsTold('approval', context.view.definition.notify, context.snapshot.notify));
  if (to.length === 0) return;
  const { workflowId } = workflowInfo();
  const { model, metrics } = options;
  const { announceApproval } = proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(context.snapshot.project),
    startToCloseTimeout: '1m',
    heartbeatTimeout: '20s',
    scheduleToCloseTimeout: '1h',
    retry: { maximumInterval: '5m' },
    summary: `tell ${to.length === 1 ? '1 person' : `${to.length} people`} of approval ${gate.name}`,
  });
  try {
    await announceApproval({
      id: `approval-${call.callId}-${why === 'opened' ? why : `${why}-${Date.now()}`}`,
      why,
      runId: workflowId,
      executionId: context.view.executionId,
      pipeline: context.view.pipeline,
      approval: describeGate(gate, counted, options.subject.uri),
      to: [...new Set(to)],
      ...(metrics === undefined
        ? {}
        : { metrics: metrics.values as ApprovalAnnouncement['metrics'] & object }),
      ...(model === undefined
        ? {}
        : { model: typeof model === 'string' ? { name: model, alias: 'champion' } : model }),
      ...(context.view.tracking === undefined ? {} : { tracking: context.view.tracking }),
    });
  } catch (error) {
    if (!isCancellation(error))
      log.warn('approvers were not told', { gate: gate.name, error: String(error) });
  }
}
