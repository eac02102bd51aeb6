import {
  ActivityCancellationType,
  allHandlersFinished,
  CancellationScope,
  condition,
  isCancellation,
  log,
  makeContinueAsNewFunc,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  workflowInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
} from '@temporalio/workflow';
import type { RawValue } from '@temporalio/common';
import type { PipelineActivities, RunSnapshot, SystemActivities } from '../core/activities.js';
import type { ApprovalDecision, SignatureVerifier } from '../core/approval.js';
import type { Json } from '../core/json.js';
import type { Journal } from '../core/journal.js';
import type { RetrySeed } from '../core/run-control.js';
import type { LaneAnswer } from '../core/registry.js';
import { LANE_ANSWER } from '../core/registry.js';
import {
  DECIDE_APPROVAL,
  CACHE_MEMO,
  STATUS_QUERY,
  systemTaskQueue,
  type CacheOptions,
  type RunState,
  type RunStatus,
} from '../core/run.js';
import type { Pipeline } from '../pipeline/define-pipeline.js';
import type { PipelineRuntime } from '../pipeline/runtime.js';
import { AdmissionClient } from './admission-client.js';
import { Approvals } from './approvals.js';
import { replayTimeoutMs, type Continuation } from './continuation.js';
import { readFailure, toFailure } from './failures.js';
import { LaneClient } from './lane-client.js';
import { RunBudget, type CarriedBudget } from './run-budget.js';
import { RunContext } from './run-context.js';
import { RunControls } from './run-controls.js';
import { RunView } from './run-state.js';
import { StepCommands } from './step-commands.js';
import { createRuntime } from './runtime.js';
import { statusAnswer } from './status-answer.js';
import { tellOfBudget, tellOfEnd } from './tell-of-run.js';
import { untilEnd, type End } from './until-end.js';

/** How an execution of a run begins. */
export interface RunStart {
  /** What the execution before handed over. */
  readonly continuation?: Continuation | undefined;
  /** Finished work of another run that this one takes up. */
  readonly seed?: RetrySeed | undefined;
  /** Why the run cannot begin; it ends with that, written and told like every other end. */
  readonly refusal?: Error;
  /** What its parameters say of the cache. */
  readonly cache?: CacheOptions | undefined;
  /** Checks signatures of decisions. */
  readonly verify: SignatureVerifier;
  /** Gives the pipeline's code the runtime that it stands on. */
  readonly setRuntime: (runtime: PipelineRuntime) => void;
}

/** Runs a pipeline from its checked parameters to its end, over as many executions as its history needs. */
export async function runPipeline(
  pipeline: Pipeline<object, unknown>,
  parameters: { readonly [name: string]: Json },
  { continuation, seed = continuation?.seed, refusal, cache, verify, setRuntime }: RunStart,
): Promise<unknown> {
  const { definition } = pipeline;
  const parent = workflowInfo().root?.workflowId;
  const view = new RunView(
    { definition, parameters, ...(parent === undefined ? {} : { parent }) },
    continuation,
  );
  const approvals = new Approvals(view, { carried: continuation?.decisions, verify });
  const lane = new LaneClient();
  const controls = new RunControls(continuation?.controls);
  const commands = new StepCommands(continuation?.commands);
  const admission = new AdmissionClient(continuation !== undefined);
  handleMessages(view, approvals, lane);
  commands.handle();
  view.commands = commands;
  const live: { context?: RunContext } = {};
  const budget = createBudget(view, { live, carried: continuation?.budget });
  controls.handle({
    resumed: () => live.context?.resume(),
    changed: () => view.showControls(controls),
    pools: () => (view.snapshot?.pools ?? []).map(({ name }) => name),
    journal: () => live.context?.player.journal(),
  });
  view.retryOf = seed?.of;
  view.showControls(controls);
  if (!continuation) view.publishStart();
  const snapshot = continuation?.snapshot ?? (await takeSnapshot(definition.name, cache));
  view.snapshot = snapshot;

  const context = new RunContext(view, snapshot, {
    ...{ continuation, controls, commands, budget, seed },
    retake: async ({ cache: given }) => await takeSnapshot(definition.name, given),
  });
  live.context = context;
  budget.begin();
  setRuntime(createRuntime(context, approvals, lane));
  const scope = new CancellationScope();
  const outcome = await untilEnd(context, scope, {
    prepare: async () => {
      if (refusal) throw refusal;
      await admission.enter(view, snapshot.project);
      view.tracking ??= await openTracking(view, { pipeline, snapshot, parameters });
    },
    run: () => pipeline.run(parameters),
    reruns: continuation !== undefined,
  });
  if (outcome === 'continue') return await continueRun(parameters, { context, approvals });
  return await CancellationScope.nonCancellable(async () => {
    await endCalls(context, scope);
    await admission.leave(view, snapshot.project);
    return await finish(context, outcome);
  });
}

function createBudget(
  view: RunView,
  {
    live,
    carried,
  }: { readonly live: { readonly context?: RunContext }; readonly carried: CarriedBudget | undefined },
): RunBudget {
  const budget = new RunBudget(
    {
      spent: () => view.spent,
      changed: () => view.redraw(),
      warn: async (status) => {
        if (live.context) await tellOfBudget(live.context, status);
      },
    },
    { ofPipeline: view.definition.budget, carried },
  );
  budget.handle();
  view.budget = budget;
  return budget;
}

/** Whatever the pipeline left running (a failed branch's siblings, a call that was not awaited) is cancelled and waited for. */
async function endCalls(context: RunContext, scope: CancellationScope): Promise<void> {
  // Code that was stopped for its budget goes on in this very task, unless it is told.
  if (context.liveCalls === 0 && !context.budget.exceeded) return;
  scope.cancel();
  await condition(() => context.liveCalls === 0);
}

function handleMessages(view: RunView, approvals: Approvals, lane: LaneClient): void {
  setHandler(defineQuery<RawValue<RunStatus>>(STATUS_QUERY), () => statusAnswer(view.status()), {
    description: 'Everything known of the run',
  });
  setHandler(
    defineUpdate<string, [ApprovalDecision]>(DECIDE_APPROVAL),
    (decision) => approvals.accept(decision),
    {
      description:
        'Decide an approval: {"gate","digest","decision":"approve"|"reject","by","comment"?,"form"?,"atMs"?,"signature"?}',
      validator: (decision) => {
        const refusal = approvals.refusal(decision);
        if (refusal !== undefined) throw toFailure('InvalidInput', refusal);
      },
    },
  );
  setHandler(
    defineSignal<[ApprovalDecision]>(DECIDE_APPROVAL),
    (decision) => {
      approvals.receive(decision);
    },
    {
      description: 'The same as the update, for the Web UI; why one is refused is in the details of the run',
    },
  );
  setHandler(defineSignal<[LaneAnswer]>(LANE_ANSWER), (answer) => lane.receive(answer), {
    description: 'What came of a registration or an alias move; sent by the lane of the model',
  });
}

async function takeSnapshot(pipeline: string, options: CacheOptions | undefined): Promise<RunSnapshot> {
  const local = proxyLocalActivities<PipelineActivities>({
    startToCloseTimeout: '10s',
    summary: 'pools and code of this run',
  });
  // Also for a run that was cancelled before it began: its end is written like every other.
  const snapshot = await CancellationScope.nonCancellable(async () => await local.snapshotRun({ pipeline }));
  const cache = options ?? (workflowInfo().memo?.[CACHE_MEMO] as CacheOptions | undefined);
  return cache === undefined ? snapshot : { ...snapshot, cache };
}

async function openTracking(
  view: RunView,
  run: {
    readonly pipeline: Pipeline<object, unknown>;
    readonly snapshot: RunSnapshot;
    readonly parameters: { readonly [name: string]: Json };
  },
): Promise<RunStatus['tracking']> {
  if (!run.snapshot.tracked) return undefined;
  const { definition } = run.pipeline;
  const activities = proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(run.snapshot.project),
    startToCloseTimeout: '15m',
    heartbeatTimeout: '20s',
    retry: { maximumInterval: '30s' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: 'open the MLflow run',
  });
  const { experimentId, parentRunId } = await activities.openTracking({
    pipeline: definition.name,
    executionId: view.executionId,
    parameters: run.parameters,
    tags: definition.tags,
    build: run.snapshot.build,
    ...(view.retryOf === undefined ? {} : { retryOf: view.retryOf.runId }),
    ...(definition.owner === undefined ? {} : { owner: definition.owner }),
  });
  return { experimentId, runId: parentRunId };
}

async function continueRun(
  parameters: { readonly [name: string]: Json },
  run: { readonly context: RunContext; readonly approvals: Approvals },
): Promise<never> {
  const { context, approvals } = run;
  await condition(allHandlersFinished);
  // A decision that was answered with "recorded" in this very task becomes an entry first.
  await context.settled();
  await context.budget.told();
  const budget = context.budget.carried();
  const next: Continuation = {
    ...context.view.carried(),
    controls: context.controls.carried(),
    ...(context.commands.shown.length === 0 ? {} : { commands: context.commands.shown }),
    ...(context.seed === undefined ? {} : { seed: context.seed }),
    journal: context.player.journal(),
    snapshot: context.snapshot,
    tracking: context.view.tracking,
    decisions: approvals.carried(),
    ...(budget === undefined ? {} : { budget }),
  };
  const continueAsNew = makeContinueAsNewFunc<
    (parameters: object, continuation: Continuation) => Promise<unknown>
  >({ workflowTaskTimeout: replayTimeoutMs(next.journal.entries.length) });
  return await continueAsNew(parameters, next);
}

/** Closes the run everywhere, then gives its result or throws its failure. */
async function finish(context: RunContext, outcome: End): Promise<unknown> {
  const { view, snapshot } = context;
  await context.budget.told();
  const atMs = Date.now();
  if ('error' in outcome) {
    const cancelled = isCancellation(outcome.error) && context.cancelled;
    const failure = readFailure(outcome.error);
    view.end(cancelled ? 'cancelled' : 'failed', { atMs, ...(cancelled ? {} : { failure }) });
    if (!cancelled) await tellOfEnd(context, ['failure']);
  } else {
    const { result } = outcome;
    view.end(stateOf(result), { atMs, ...(result === undefined ? {} : { result }) });
    await tellOfEnd(context, ['success', 'recovery']);
  }
  const journal = 'error' in outcome ? context.player.journal() : undefined;
  await closeRun(snapshot, { status: view.status(), ...(journal && { journal }) });
  await condition(allHandlersFinished);
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}

function stateOf(result: Json | undefined): RunState {
  return typeof result === 'object' && result !== null && 'promoted' in result && result.promoted === false
    ? 'not-promoted'
    : 'completed';
}

async function closeRun(
  snapshot: RunSnapshot,
  { status, journal }: { readonly status: RunStatus; readonly journal?: Journal },
): Promise<void> {
  const activities = proxyActivities<SystemActivities>({
    taskQueue: systemTaskQueue(snapshot.project),
    startToCloseTimeout: '15m',
    heartbeatTimeout: '20s',
    scheduleToCloseTimeout: '24h',
    retry: { maximumInterval: '1m' },
    summary: 'write the record of the run',
  });
  try {
    await activities.closeRun({ status, state: status.state, ...(journal && { journal }) });
  } catch (error) {
    log.error('the record of the run could not be written', { error: String(error) });
  }
}
