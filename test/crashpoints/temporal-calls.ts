import type { temporal as api } from '@temporalio/proto';
import proto from '@temporalio/proto';

const { temporal, google } = proto;

const { RespondWorkflowTaskCompletedRequest, SignalWithStartWorkflowExecutionRequest } =
  temporal.api.workflowservice.v1;
type Command = api.api.command.v1.ICommand;
type Duration = NonNullable<
  NonNullable<Command['scheduleActivityTaskCommandAttributes']>['heartbeatTimeout']
>;

/** Calls of workers that change something in Temporal. */
export const CHANGING_CALLS: ReadonlySet<string> = new Set([
  'RespondWorkflowTaskCompleted',
  'RespondActivityTaskCompleted',
  'RespondActivityTaskFailed',
  'SignalWithStartWorkflowExecution',
  'SignalWorkflowExecution',
  'StartWorkflowExecution',
]);

/** How soon the server believes that a worker is dead, so that a point does not cost a minute. Longer than Anneal's own heartbeats. */
const BELIEVED_DEAD_MS = 2_000;
const RETRY_MS = 200;
const WORKFLOW_TASK_MS = 2_000;
const STICKY_MS = 300;

/** Names what a call changes, and shortens the time limits in it that stand for waiting for a dead worker. */
export function inspectCall(
  method: string,
  message: Uint8Array,
): { readonly effect: string; readonly message: Uint8Array } {
  if (method === 'RespondWorkflowTaskCompleted') {
    const request = RespondWorkflowTaskCompletedRequest.decode(message);
    const commands = request.commands.map((command) => nameCommand(command));
    for (const command of request.commands) hasten(command);
    if (request.stickyAttributes) request.stickyAttributes.scheduleToStartTimeout = duration(STICKY_MS);
    const effect = `temporal ${method} ${commands.join(', ') || 'nothing'}`;
    return { effect, message: RespondWorkflowTaskCompletedRequest.encode(request).finish() };
  }
  if (method === 'SignalWithStartWorkflowExecution') {
    const request = SignalWithStartWorkflowExecutionRequest.decode(message);
    request.workflowTaskTimeout = duration(WORKFLOW_TASK_MS);
    const effect = `temporal ${method} ${request.workflowType?.name ?? ''}`;
    return { effect, message: SignalWithStartWorkflowExecutionRequest.encode(request).finish() };
  }
  return { effect: `temporal ${method} ${nameActivity(message)}`.trimEnd(), message };
}

function nameCommand(command: Command): string {
  const { scheduleActivityTaskCommandAttributes: activity, recordMarkerCommandAttributes: marker } = command;
  const type = temporal.api.enums.v1.CommandType[command.commandType ?? 0] ?? '';
  const name = type.replace('COMMAND_TYPE_', '').toLowerCase().replaceAll('_', ' ');
  const of = activity?.activityType?.name ?? marker?.markerName;
  return of === undefined || of === null ? name : `${name} ${of}`;
}

function hasten({ scheduleActivityTaskCommandAttributes: activity }: Command): void {
  if (!activity) return;
  activity.retryPolicy = { ...activity.retryPolicy, initialInterval: duration(RETRY_MS) };
  if (limit(activity.heartbeatTimeout, BELIEVED_DEAD_MS)) return;
  limit(activity.startToCloseTimeout, BELIEVED_DEAD_MS);
}

/** @returns whether there is a limit at all. */
function limit(given: Duration | null | undefined, mostMs: number): boolean {
  const ms = Number(given?.seconds ?? 0) * 1_000 + (given?.nanos ?? 0) / 1e6;
  if (!given || ms === 0) return false;
  if (ms > mostMs) Object.assign(given, duration(mostMs));
  return true;
}

function duration(ms: number): Duration {
  return google.protobuf.Duration.fromObject({ seconds: Math.floor(ms / 1_000), nanos: (ms % 1_000) * 1e6 });
}

/** The token of an activity task holds the activity's type, as text. */
function nameActivity(message: Uint8Array): string {
  const text = Buffer.from(message).toString('latin1');
  return ACTIVITIES.find((name) => text.includes(name)) ?? '';
}

const ACTIVITIES = [
  'executeAttempt',
  'endAttempt',
  'openTracking',
  'closeRun',
  'awaitCache',
  'askCache',
  'submitToLane',
  'runLaneOperation',
  'readChampion',
] as const;
