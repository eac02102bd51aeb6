import type { TakenCommand } from '../core/step-command.js';
import { setCurrentDetails, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { RunSnapshot } from '../core/activities.js';
import type { BudgetStatus } from '../core/budget.js';
import { addCost, COST_MEMO, type RunCost } from '../core/cost.js';
import type { RecordedDecision, RefusedDecision } from '../core/approval.js';
import type { GateRecord } from '../core/gate-record.js';
import type { FailureInfo } from '../core/failures.js';
import type { Paused, RetryOrigin, StepSettings } from '../core/run-control.js';
import type { Json } from '../core/json.js';
import {
  SHOWN_CALLS,
  STATUS_ATTRIBUTE,
  TAGS_ATTRIBUTE,
  type CallState,
  type CallStatus,
  type PendingApproval,
  type RunState,
  type RunStatus,
} from '../core/run.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import type { Continuation } from './continuation.js';
import { renderDetails, type RowCache } from './details.js';
import type { RunControls } from './run-controls.js';

const statusKey = defineSearchAttributeKey(STATUS_ATTRIBUTE, SearchAttributeType.KEYWORD);
const tagsKey = defineSearchAttributeKey(TAGS_ATTRIBUTE, SearchAttributeType.KEYWORD_LIST);

/** What is known of a run before its first continuation or activity. */
export interface RunIdentity {
  readonly definition: PipelineDefinition;
  readonly parameters: { readonly [name: string]: Json };
  readonly parent?: string;
}

/** The visible state of a run: answers the status query, keeps the Web UI's details and the search attributes. */
export class RunView {
  private readonly identity: RunIdentity;
  private readonly calls = new Map<string, CallStatus>();
  private readonly counts: { [state in CallState]?: number };
  private readonly approvals = new Map<string, PendingApproval>();
  private readonly tags: Set<string>;
  private readonly rows: RowCache = new WeakMap();
  private state: RunState = 'running';
  private paused: Paused | undefined;
  private changes: { readonly [step: string]: StepSettings } = {};
  private changed = false;
  private cost: number | undefined;
  private readonly poolCosts: { [pool: string]: number };
  private publishedCost: number | undefined;
  private result: Json | undefined;
  private failure: FailureInfo | undefined;
  private endedAtMs: number | undefined;
  snapshot: RunSnapshot | undefined;
  tracking: RunStatus['tracking'];
  /** Kept by the run's approvals. */
  retryOf: RetryOrigin | undefined;
  budget: { readonly status: BudgetStatus | undefined } = { status: undefined };
  commands: { readonly shown: readonly TakenCommand[] } = { shown: [] };
  decisions: readonly RecordedDecision[] = [];
  refusedDecisions: readonly RefusedDecision[] = [];
  gates: readonly GateRecord[] = [];
  readonly startedAtMs: number;
  readonly continuations: number;

  constructor(identity: RunIdentity, continuation: Continuation | undefined) {
    this.identity = identity;
    this.startedAtMs = continuation?.startedAtMs ?? workflowInfo().startTime.getTime();
    this.continuations = continuation?.continuations ?? 0;
    this.counts = { ...continuation?.counts };
    this.cost = continuation?.cost;
    this.poolCosts = { ...continuation?.poolCosts };
    // What was counted since the last change of state is not published, and what was need not be carried over.
    this.publishedCost = (workflowInfo().memo?.[COST_MEMO] as RunCost | undefined)?.total;
    for (const call of continuation?.calls ?? []) this.calls.set(call.id, call);
    this.tags = new Set(continuation?.tags ?? []);
    this.snapshot = continuation?.snapshot;
    this.tracking = continuation?.tracking;
  }

  get pipeline(): string {
    return this.identity.definition.name;
  }

  get definition(): PipelineDefinition {
    return this.identity.definition;
  }

  get executionId(): string {
    return workflowInfo().firstExecutionRunId;
  }

  /** The key of the partition that the run makes. */
  private get partition(): string | undefined {
    const { definition, parameters } = this.identity;
    const key = definition.partition && parameters[definition.partition.parameter];
    return typeof key === 'string' ? key : undefined;
  }

  /** Search attributes at the start: the only upsert beside those of a change of state. */
  publishStart(): void {
    const { definition } = this.identity;
    const tags = [`pipeline:${definition.name}`, ...definition.tags.map((tag) => `tag:${tag}`)];
    if (definition.owner !== undefined) tags.push(`owner:${definition.owner}`);
    if (this.partition !== undefined) tags.push(`partition:${this.partition}`);
    if (this.identity.parent !== undefined) tags.push(`root:${this.identity.parent}`);
    for (const tag of tags) this.tags.add(tag);
    this.publish();
  }

  /** Adds a tag; it is published with the next change of state, never on its own. */
  addTag(tag: string): void {
    this.tags.add(tag);
  }

  setState(state: RunState): void {
    if (state === this.state) return;
    const shown = this.shownState;
    this.state = state;
    if (this.shownState !== shown) this.publish();
    this.draw();
  }

  /** Shows what operators have asked of the run. */
  showControls(controls: RunControls): void {
    const { paused, changes } = controls.carried();
    const shown = this.shownState;
    this.paused = paused;
    this.changes = changes;
    if (this.shownState === shown) return;
    this.publish();
    this.draw();
  }

  /** An open run that is paused is shown as that, whatever else it waits for. */
  private get shownState(): RunState {
    return this.paused && this.endedAtMs === undefined ? 'paused' : this.state;
  }

  /** Adds or changes a call. A call that leaves the shown window keeps its place in the counts. */
  put(call: CallStatus): void {
    const before = this.calls.get(call.id);
    if (before) this.counts[before.state] = (this.counts[before.state] ?? 1) - 1;
    this.counts[call.state] = (this.counts[call.state] ?? 0) + 1;
    const cost = call.cost ?? before?.cost;
    this.calls.set(call.id, cost === undefined ? call : { ...call, cost });
    if (this.calls.size > SHOWN_CALLS) this.forgetOldestSettled();
    this.changed = true;
  }

  /** An attempt of a call has ended that cost something. */
  spend(callId: string, { pool, cost }: { readonly pool: string; readonly cost: number }): void {
    this.cost = addCost(this.cost, cost);
    this.poolCosts[pool] = addCost(this.poolCosts[pool], cost);
    const call = this.calls.get(callId);
    if (call) this.calls.set(callId, { ...call, cost: addCost(call.cost, cost) });
  }

  /** What its attempts that have ended cost. */
  get spent(): number {
    return this.cost ?? 0;
  }

  call(id: string): CallStatus | undefined {
    return this.calls.get(id);
  }

  openApproval(callId: string, approval: PendingApproval): void {
    this.approvals.set(callId, approval);
    this.addTag(`gate:${approval.gate}`);
    if (this.state === 'waiting-for-approval') this.draw();
    else this.setState('waiting-for-approval');
  }

  closeApproval(callId: string): void {
    this.approvals.delete(callId);
    if (this.approvals.size === 0 && this.state === 'waiting-for-approval') this.setState('running');
  }

  end(
    state: RunState,
    outcome: { readonly result?: Json; readonly failure?: FailureInfo; readonly atMs: number },
  ): void {
    this.result = outcome.result;
    this.failure = outcome.failure;
    this.endedAtMs = outcome.atMs;
    this.setState(state);
  }

  status(): RunStatus {
    const info = workflowInfo();
    const budget = this.budget.status;
    return {
      runId: info.workflowId,
      executionId: info.firstExecutionRunId,
      pipeline: this.identity.definition.name,
      project: this.snapshot?.project ?? '',
      build: this.snapshot?.build ?? '',
      ...(this.definition.owner === undefined ? {} : { owner: this.definition.owner }),
      ...(this.cost === undefined ? {} : { cost: this.cost }),
      ...(budget === undefined ? {} : { budget }),
      state: this.shownState,
      parameters: this.identity.parameters,
      ...(this.partition === undefined ? {} : { partition: this.partition }),
      startedAtMs: this.startedAtMs,
      ...(this.endedAtMs === undefined ? {} : { endedAtMs: this.endedAtMs }),
      calls: [...this.calls.values()],
      counts: this.counts,
      continuations: this.continuations,
      ...(this.retryOf === undefined ? {} : { retryOf: this.retryOf }),
      ...(this.paused === undefined ? {} : { paused: this.paused }),
      ...(Object.keys(this.changes).length === 0 ? {} : { changes: this.changes }),
      ...(this.commands.shown.length === 0 ? {} : { commands: this.commands.shown }),
      ...(this.tracking === undefined ? {} : { tracking: this.tracking }),
      approvals: [...this.approvals.values()],
      ...(this.decisions.length === 0 ? {} : { decisions: [...this.decisions] }),
      ...(this.gates.length === 0 ? {} : { gates: [...this.gates] }),
      ...(this.refusedDecisions.length === 0 ? {} : { refusedDecisions: [...this.refusedDecisions] }),
      ...(this.result === undefined ? {} : { result: this.result }),
      ...(this.failure === undefined ? {} : { failure: this.failure }),
    };
  }

  /** What the next execution starts from. */
  carried(): Pick<
    Continuation,
    'startedAtMs' | 'continuations' | 'calls' | 'counts' | 'tags' | 'cost' | 'poolCosts'
  > {
    return {
      startedAtMs: this.startedAtMs,
      continuations: this.continuations + 1,
      calls: [...this.calls.values()],
      counts: this.counts,
      tags: [...this.tags],
      ...(this.cost === undefined ? {} : { cost: this.cost, poolCosts: this.poolCosts }),
    };
  }

  /** Draws the details where calls have changed: once for all that changed in one go, as a fan-out of thousands does. */
  drawChanges(): void {
    if (this.changed) this.draw();
  }

  /** Draws the details again after something changed that is not a call. */
  redraw(): void {
    this.draw();
  }

  private forgetOldestSettled(): void {
    for (const [id, call] of this.calls) {
      if (call.endedAtMs === undefined) continue;
      this.calls.delete(id);
      return;
    }
  }

  private publish(): void {
    upsertSearchAttributes([
      { key: statusKey, value: this.shownState },
      { key: tagsKey, value: [...this.tags] },
    ]);
    if (this.cost === undefined || this.cost === this.publishedCost) return;
    this.publishedCost = this.cost;
    const cost: RunCost = { total: this.cost, pools: this.poolCosts };
    upsertMemo({ [COST_MEMO]: cost });
  }

  private draw(): void {
    this.changed = false;
    setCurrentDetails(renderDetails(this.status(), { snapshot: this.snapshot, rows: this.rows }));
  }
}
