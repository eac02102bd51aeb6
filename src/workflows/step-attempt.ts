import {
  ActivityCancellationType,
  ActivityFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
} from '@temporalio/workflow';
import type { PoolActivities } from '../core/activities.js';
import type { AttemptFailed, AttemptOutcome, AttemptRequest } from '../core/attempt.js';
import { claimActivityId, type CacheSlot } from '../core/claims.js';
import { costOfAttempt } from '../core/cost.js';
import { parseDuration } from '../core/duration.js';
import { imageOn } from '../core/image-reference.js';
import { parseBytes } from '../core/quantity.js';
import type { RetryState } from '../core/retry.js';
import type { CallStatus } from '../core/run.js';
import type { Resources } from '../core/step.js';
import { readFailure } from './failures.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';
import type { StepPlan } from './step-plan.js';

/** Longest that one attempt's activity may take where the step sets no time limit. */
const NO_LIMIT_MS = 30 * 86_400_000;
/** Time an attempt may take beside its command: environment, inputs, outputs. */
const OVERHEAD_MS = 6 * 3_600_000;

/** One attempt of a step. */
export interface AttemptPlan {
  readonly plan: StepPlan;
  readonly base: CallStatus;
  readonly state: RetryState;
  readonly index: number;
  readonly slot: CacheSlot | undefined;
}

/** Runs one attempt to its outcome and counts what it cost. One that gave none is ended for certain before anything else happens. */
export async function runAttempt(
  context: RunContext,
  call: LiveCall,
  attempt: AttemptPlan,
): Promise<AttemptOutcome> {
  const { plan, base, state, slot } = attempt;
  const request = attemptRequest(context, call, attempt);
  const countCost = followCost(context, call, attempt);
  if (state.attempt !== base.attempt || slot)
    context.view.put({ ...base, attempt: state.attempt, state: 'running' });
  const pool = proxyActivities<PoolActivities>({
    taskQueue: plan.pool.taskQueue,
    startToCloseTimeout:
      request.timeoutMs === undefined ? NO_LIMIT_MS : request.timeoutMs + request.stopGraceMs + OVERHEAD_MS,
    heartbeatTimeout: '6s',
    retry: { initialInterval: '500ms', backoffCoefficient: 1.5, maximumInterval: '10s' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    ...(slot && { activityId: claimActivityId({ ...call, attempt: state.attempt }, 'attempt') }),
    summary: state.attempt === 1 ? plan.name : `${plan.name}, attempt ${state.attempt}`,
  });
  const ended = context.commands.began(call.callId, { plan, request });
  let outcome: AttemptOutcome | undefined;
  try {
    outcome = await (slot ? pool.executeAttempt(request, slot) : pool.executeAttempt(request));
    return outcome;
  } catch (error) {
    await CancellationScope.nonCancellable(async () => await endAttempt(request, plan));
    if (isCancellation(error)) throw error;
    return lostOutcome(error, plan);
  } finally {
    ended();
    countCost(outcome);
  }
}

/**
 * Follows what an attempt costs; the answer is called when it has ended. One that gave no outcome, as when it is cancelled, counts from when
 * its worker said that it runs. @throws BudgetExceeded
 */
function followCost(
  { budget, view }: RunContext,
  { callId }: LiveCall,
  { plan: { pool }, state: { attempt } }: AttemptPlan,
): (outcome: AttemptOutcome | undefined) => void {
  const { pricePerHour } = pool;
  budget.admit(pool);
  const ended = budget.began(callId, {
    ...{ attempt, followed: budget.follows(pool) },
    ...(pricePerHour === undefined ? {} : { pricePerHour }),
  });
  return (outcome) => {
    const startedAtMs = ended();
    const endedAtMs = Date.now();
    const cost = costOfAttempt(pool, outcome ?? { startedAtMs: startedAtMs ?? endedAtMs, endedAtMs });
    if (cost !== undefined) view.spend(callId, { pool: pool.name, cost });
    budget.judgeSoon();
  };
}

async function endAttempt(request: AttemptRequest, plan: StepPlan): Promise<void> {
  const pool = proxyActivities<PoolActivities>({
    taskQueue: plan.pool.controlQueue,
    startToCloseTimeout: request.stopGraceMs + 120_000,
    heartbeatTimeout: '10s',
    retry: { initialInterval: '1s', maximumInterval: '30s' },
    summary: `end what is left of ${plan.name}`,
  });
  await pool.endAttempt(request);
}

function lostOutcome(error: unknown, plan: StepPlan): AttemptFailed {
  const at = Date.now();
  const { code, message } =
    error instanceof ActivityFailure
      ? readFailure(error)
      : { code: 'Unknown' as const, message: String(error) };
  return {
    kind: 'failed',
    attemptName: '',
    code: code === 'Unknown' ? 'AttemptLost' : code,
    message: `Step "${plan.name}" was lost: ${message}.`,
    logTail: [],
    startedAtMs: at,
    endedAtMs: at,
  };
}

function attemptRequest(
  context: RunContext,
  call: LiveCall,
  { plan, state, index }: AttemptPlan,
): AttemptRequest {
  const { request, timeout, snapshot } = plan;
  const { definition } = request;
  const { view } = context;
  const { python, mlflow, kubernetes, access } = definition;
  const image = imageOn(plan.pool.name, definition.image, snapshot);
  return {
    project: snapshot.project,
    pipeline: view.pipeline,
    executionId: view.executionId,
    step: definition.name,
    callId: call.callId,
    index,
    attempt: state.attempt,
    build: snapshot.build,
    pool: plan.pool.name,
    code: definition.code,
    codeDigest: snapshot.codeDigests[definition.name] ?? '',
    env: definition.env,
    command: request.command,
    inputs: request.inputs,
    parameters: request.parameters,
    outputs: definition.outputs,
    ...(plan.pool.pricePerHour === undefined ? {} : { pricePerHour: plan.pool.pricePerHour }),
    ...(context.budget.follows(plan.pool) ? { tellsBegan: true as const } : {}),
    ...(definition.commands === undefined ? {} : { takesCommands: true as const }),
    resources: withMemory(plan.resources, state.memory),
    stopGraceMs: parseDuration(definition.stopGrace),
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration(timeout) }),
    ...(image === undefined ? {} : { image }),
    ...(python === undefined ? {} : { python }),
    ...(access === undefined ? {} : { access }),
    ...(mlflow === undefined ? {} : { mlflow }),
    ...(kubernetes === undefined ? {} : { kubernetes }),
    ...(view.tracking === undefined
      ? {}
      : { tracking: { experimentId: view.tracking.experimentId, parentRunId: view.tracking.runId } }),
  };
}

/** Memory as it was raised after attempts that ran out of it, unless an operator has set more since. */
function withMemory(resources: Resources, raised: string | undefined): Resources {
  if (raised === undefined) return resources;
  const { memory } = resources;
  return memory !== undefined && parseBytes(memory) >= parseBytes(raised)
    ? resources
    : { ...resources, memory: raised };
}
