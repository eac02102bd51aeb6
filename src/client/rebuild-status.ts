import type { LoadedDataConverter } from '@temporalio/common';
import {
  attemptName,
  type AttemptIdentity,
  type AttemptOutcome,
  type AttemptRequest,
} from '../core/attempt.js';
import { isFailureCode, type FailureInfo } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { ApprovalDecision, RecordedDecision } from '../core/approval.js';
import { DECIDE_APPROVAL, type CallState, type CallStatus, type RunStatus } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { CLOSE_RUN, decodePayloads, type ClosingRun } from './closing-status.js';
import { callTemporal } from './temporal-errors.js';

type History = Awaited<
  ReturnType<ReturnType<ClientDeps['temporal']['workflow']['getHandle']>['fetchHistory']>
>;
type HistoryEvent = NonNullable<History['events']>[number];
type Payloads = NonNullable<HistoryEvent['workflowExecutionStartedEventAttributes']>['input'];

/** What the newest execution's history tells of a run that left no record: parameters, steps and how each ended, the failure. */
export async function rebuildStatus(deps: ClientDeps, known: RunStatus): Promise<RunStatus> {
  const { workflow, options } = deps.temporal;
  const { epoch, history } = await callTemporal(deps, `run "${known.runId}"`, async () => {
    const newest = await workflow.getHandle(known.runId).describe();
    return {
      epoch: newest.runId,
      history: await workflow.getHandle(known.runId, newest.runId).fetchHistory(),
    };
  });
  const execution = { namespace: options.namespace, workflowId: known.runId, epoch };
  const reader = new HistoryReader(options.loadedDataConverter, execution);
  for (const event of history.events ?? []) await reader.read(event);
  const calls = [...reader.calls.values()].map((call) =>
    known.endedAtMs === undefined ? call : ended(call, known),
  );
  const counts: { [state in CallState]?: number } = {};
  for (const { state } of calls) counts[state] = (counts[state] ?? 0) + 1;
  return {
    ...known,
    parameters: reader.parameters,
    build: reader.build ?? known.build,
    calls,
    counts,
    ...(reader.decisions.length === 0 ? {} : { decisions: reader.decisions }),
    ...(reader.gates === undefined ? {} : { gates: reader.gates }),
    ...(reader.result === undefined ? {} : { result: reader.result }),
    ...(reader.failure === undefined ? {} : { failure: reader.failure }),
  };
}

function ended(call: CallStatus, { endedAtMs }: RunStatus): CallStatus {
  return call.state === 'running' || call.state === 'retrying'
    ? { ...call, state: 'cancelled', ...(endedAtMs === undefined ? {} : { endedAtMs }) }
    : call;
}

type Execution = Pick<AttemptIdentity, 'namespace' | 'workflowId' | 'epoch'>;

/** Walks over events in order. */
class HistoryReader {
  parameters: RunStatus['parameters'] = {};
  build: string | undefined;
  result: Json | undefined;
  failure: FailureInfo | undefined;
  decisions: RecordedDecision[] = [];
  gates: RunStatus['gates'];
  readonly calls = new Map<string, CallStatus>();
  private readonly requests = new Map<string, AttemptRequest>();
  private readonly converter: LoadedDataConverter;

  private readonly execution: Execution;

  constructor(converter: LoadedDataConverter, execution: Execution) {
    this.converter = converter;
    this.execution = execution;
  }

  async read(event: HistoryEvent): Promise<void> {
    const atMs =
      Number(event.eventTime?.seconds ?? 0) * 1_000 + Math.round((event.eventTime?.nanos ?? 0) / 1e6);
    await this.readActivity(event, atMs);
    const started = event.workflowExecutionStartedEventAttributes;
    const completed = event.workflowExecutionCompletedEventAttributes;
    const failed = event.workflowExecutionFailedEventAttributes;
    const terminated = event.workflowExecutionTerminatedEventAttributes;
    if (started) await this.readStart(started.input);
    await this.readDecision(event, atMs);
    if (completed) this.result = (await this.decode(completed.result)) as Json | undefined;
    if (failed) this.failure = readFailure(failed.failure ?? {});
    if (terminated?.reason)
      this.failure = { code: 'Unknown', message: `The run was terminated: ${terminated.reason}` };
    if (event.workflowExecutionTimedOutEventAttributes)
      this.failure = { code: 'Unknown', message: 'The run took longer than its time limit.' };
  }

  private async readStart(input: Payloads): Promise<void> {
    const [parameters, continuation] = await this.decodeAll(input);
    this.parameters = (parameters ?? {}) as RunStatus['parameters'];
    const carried = (
      continuation as { readonly decisions?: { readonly recorded?: RecordedDecision[] } } | undefined
    )?.decisions;
    // Of those that another run's people made, a history does not say whether this run's gates took them.
    this.decisions = [...(carried?.recorded ?? [])];
  }

  /** An update is accepted only if it counts or is kept for its gate; what came by signal was judged by the run alone. */
  private async readDecision(event: HistoryEvent, receivedAtMs: number): Promise<void> {
    const request = event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest;
    if (request?.input?.name !== DECIDE_APPROVAL) return;
    const decision = (await this.decode(request.input.args)) as ApprovalDecision;
    const id = request.meta?.updateId ?? '';
    if (this.decisions.some((known) => known.id === id)) return;
    this.decisions.push({ ...decision, id, callId: '', receivedAtMs, verified: false });
  }

  /** What the run handed over as its record: of decisions it knows more than the updates say. */
  private readClosing(closing: unknown): void {
    const { decisions = [], gates } = (closing as ClosingRun).status;
    this.decisions = [...decisions];
    this.gates = gates;
  }

  private async readActivity(event: HistoryEvent, atMs: number): Promise<void> {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled?.activityType?.name === CLOSE_RUN) this.readClosing(await this.decode(scheduled.input));
    if (scheduled?.activityType?.name === 'executeAttempt') {
      const request = (await this.decode(scheduled.input)) as AttemptRequest;
      this.requests.set(String(event.eventId), request);
      this.build = request.build;
      this.put(request, { state: 'running', atMs });
    }
    const completed = event.activityTaskCompletedEventAttributes;
    const request = this.requests.get(String(completed?.scheduledEventId));
    if (completed && request) {
      const outcome = (await this.decode(completed.result)) as AttemptOutcome;
      this.put(request, { state: outcome.kind, atMs, outcome });
    }
    const canceled = event.activityTaskCanceledEventAttributes;
    const cancelledRequest = this.requests.get(String(canceled?.scheduledEventId));
    if (cancelledRequest) this.put(cancelledRequest, { state: 'cancelled', atMs });
    const lost = event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes;
    const lostRequest = this.requests.get(String(lost?.scheduledEventId));
    if (lostRequest) this.put(lostRequest, { state: 'failed', atMs });
  }

  private put(
    request: AttemptRequest,
    {
      state,
      atMs,
      outcome,
    }: { readonly state: CallState; readonly atMs: number; readonly outcome?: AttemptOutcome },
  ): void {
    const { callId, step, attempt, pool } = request;
    const startedAtMs = this.calls.get(callId)?.startedAtMs ?? atMs;
    this.calls.set(callId, {
      id: callId,
      kind: 'step',
      name: step,
      state,
      attempt,
      pool,
      startedAtMs,
      ...(state === 'running' ? {} : { endedAtMs: atMs }),
      // Also that of an attempt that gave no outcome: its log is found by it.
      attemptName: attemptName({ ...this.execution, step, index: request.index, attempt }),
      ...(outcome?.kind === 'failed'
        ? { failure: { code: outcome.code, message: outcome.message, logTail: outcome.logTail } }
        : {}),
    });
  }

  private async decode(payloads: Payloads): Promise<unknown> {
    return (await this.decodeAll(payloads))[0];
  }

  private async decodeAll(payloads: Payloads): Promise<unknown[]> {
    return await decodePayloads(this.converter, payloads);
  }
}

function readFailure(failure: {
  readonly message?: string | null;
  readonly applicationFailureInfo?: { readonly type?: string | null } | null;
}): FailureInfo {
  const type = failure.applicationFailureInfo?.type;
  return { code: isFailureCode(type) ? type : 'Unknown', message: failure.message ?? 'The run failed.' };
}
