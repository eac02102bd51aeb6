import { digestOfText } from './digest.js';
import type { FailureInfo } from './failures.js';
import type { Channel, NotificationEvent } from './notification-routes.js';
import type { CallStatus, RunStatus } from './run.js';

/** A message to people. */
export interface Notification {
  /** Same id: the same message, sent once as far as the channel allows. */
  readonly id: string;
  readonly event: NotificationEvent;
  /** E-mail addresses, `slack:<name>`, `webhook:<name>`. */
  readonly to: readonly string[];
  readonly subject: string;
  /** What happened and the next step. */
  readonly text: string;
  /** Of a run, or of what stands for one. */
  readonly runId: string;
  readonly executionId: string;
  readonly failure?: FailureInfo;
  readonly pipeline?: string;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  readonly step?: FailedStep;
  readonly tracking?: NonNullable<RunStatus['tracking']>;
}

/** What makes the same message the same for channels that can tell; hex. */
export function messageId({ executionId, id }: Notification): string {
  return digestOfText(`${executionId}/${id}`).slice(0, 40);
}

/** One message on one channel. */
export interface Delivery {
  readonly notification: Notification;
  readonly channel: Channel;
}

/** The step that a run failed with, as somebody needs it who was woken. */
export interface FailedStep {
  readonly name: string;
  readonly attempt: number;
  readonly pool?: string;
  readonly failure?: FailureInfo;
  /** Its last lines of output, {@link LOG_LINES} at most. */
  readonly logTail: readonly string[];
}

/** Lines of a step's output that a message carries at most. */
export const LOG_LINES = 20;

/** Events that a run's status tells of. */
export type RunEvent = 'failure' | 'success' | 'recovery' | 'stuck' | 'terminated' | 'timed-out' | 'budget';

/**
 * The message about a run. `why`: the sentence that says what happened, where the status does not.
 * The id follows from event and execution: the same event is told once.
 */
export function buildRunNotification(of: {
  readonly event: RunEvent;
  readonly status: RunStatus;
  readonly to: readonly string[];
  readonly why?: string;
  /** Run id of the execution that it is about. */
  readonly epoch: string;
}): Notification {
  const { event, status, to, why, epoch } = of;
  const { runId, executionId, pipeline, failure, tracking } = status;
  const step =
    event === 'success' || event === 'recovery' || event === 'budget' ? undefined : findFailedStep(status);
  return {
    id: `${event}-${epoch}`,
    event,
    to,
    subject: `${pipeline} ${SAID[event](status)}: ${runId}`,
    text: why ?? explain(event, status),
    runId,
    executionId,
    pipeline,
    startedAtMs: status.startedAtMs,
    ...(status.endedAtMs === undefined ? {} : { endedAtMs: status.endedAtMs }),
    ...(failure === undefined ? {} : { failure }),
    ...(step === undefined ? {} : { step }),
    ...(tracking === undefined ? {} : { tracking }),
  };
}

const SAID: { readonly [event in RunEvent]: (status: RunStatus) => string } = {
  failure: () => 'failed',
  success: ({ state }) => (state === 'not-promoted' ? 'ran and promoted nothing' : 'succeeded'),
  recovery: () => 'works again',
  stuck: () => 'is stuck',
  terminated: () => 'was terminated',
  'timed-out': () => 'ran into its time limit',
  budget: () => 'has nearly spent its budget',
};

function explain(event: RunEvent, { state, counts, result, failure }: RunStatus): string {
  // What has no name of its own is said by its sentence alone.
  if (failure !== undefined)
    return failure.code === 'Unknown' ? failure.message : `${failure.code}: ${failure.message}`;
  const cached = counts.cached ?? 0;
  const steps = `${(counts.succeeded ?? 0) + cached} calls succeeded${cached === 0 ? '' : `, ${cached} of them from the cache`}`;
  switch (event) {
    case 'failure':
      return 'The run failed.';
    case 'recovery':
      return `The run before this one failed; this one did not. ${steps}.`;
    case 'success':
      return `The run ended as ${state}; ${steps}.${result === undefined ? '' : `\nResult: ${JSON.stringify(result).slice(0, 1_000)}`}`;
    case 'budget':
      return 'The run has cost most of its budget.';
    case 'stuck':
      return 'Workers fail on the history of the run again and again.';
    case 'terminated':
      return 'The run was terminated: it ended at once, and no code of it ran any more.';
    case 'timed-out':
      return 'The run took longer than its time limit: it ended at once, and no code of it ran any more.';
  }
}

/** The call whose failure the run ended with, else the last that failed; where a run was ended from outside, the one that ran. */
function findFailedStep({ calls, failure }: RunStatus): FailedStep | undefined {
  const failed = calls.filter((call) => call.kind === 'step' && call.failure !== undefined);
  const found: CallStatus | undefined =
    failed.findLast((call) => call.failure?.message === failure?.message) ??
    failed.findLast((call) => call.state === 'failed') ??
    calls.findLast((call) => call.kind === 'step' && call.endedAtMs === undefined) ??
    failed.at(-1);
  if (found === undefined) return undefined;
  const { name, attempt, pool, failure: own } = found;
  return {
    name,
    attempt,
    ...(pool === undefined ? {} : { pool }),
    ...(own === undefined ? {} : { failure: { code: own.code, message: own.message } }),
    logTail: (own?.logTail ?? []).slice(-LOG_LINES).map((line) => line.slice(0, 500)),
  };
}

/** Workflow type of {@link deliveryWorkflowId}. */
export const DELIVERY_WORKFLOW = 'anneal.delivery';

/** The workflow that brings one message to people: one for each message, however often it is asked for. */
export function deliveryWorkflowId(project: string, { executionId, id }: Notification): string {
  return `anneal/${project}/notify/${executionId}/${id.length <= 200 ? id : digestOfText(id)}`;
}
