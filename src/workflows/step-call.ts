import {
  ActivityCancellationType,
  CancellationScope,
  ActivityFailure,
  isCancellation,
  proxyActivities,
  sleep,
} from '@temporalio/workflow';
import type { PoolActivities } from '../core/activities.js';
import type { AttemptFailed, AttemptOutcome, AttemptRequest } from '../core/attempt.js';
import { inputDigests } from '../core/cache.js';
import { claimActivityId, type CacheHit, type CacheSlot } from '../core/claims.js';
import { formatDuration, parseDuration } from '../core/duration.js';
import { choosePool, type Pool } from '../core/pools.js';
import { decideRetry, FIRST_ATTEMPT, type RetryState } from '../core/retry.js';
import type { CallCache, CallStatus } from '../core/run.js';
import type { Resources, RetryPolicy } from '../core/step.js';
import type { StepOutputs, StepRequest } from '../pipeline/runtime.js';
import { readFailure, toFailure } from './failures.js';
import type { LiveCall, RunContext } from './run-context.js';
import { askCache, planCache, type CachePlan } from './step-cache.js';

/** Longest that one attempt's activity may take where the step sets no time limit. */
const NO_LIMIT_MS = 30 * 86_400_000;
/** Time an attempt may take beside its command: environment, inputs, outputs. */
const OVERHEAD_MS = 6 * 3_600_000;

/** A step call with everything decided that does not depend on its attempts. */
interface StepPlan {
  readonly request: StepRequest;
  readonly name: string;
  readonly pool: Pool;
  readonly resources: Resources;
  readonly retry: RetryPolicy;
  readonly timeout: string | undefined;
  readonly cache: { readonly plan?: CachePlan; readonly shown?: CallCache };
}

/** Runs a step, or answers from the journal or the cache. @throws a failure whose type is a code of the failure table. */
export function runStep(context: RunContext, request: StepRequest): Promise<StepOutputs> {
  const plan = planStep(context, request);
  const input = { parameters: request.parameters, inputs: inputDigests(request.inputs) };
  return context.call({ kind: 'step', name: plan.name, input }, (call) => executeStep(context, call, plan));
}

function planStep(context: RunContext, request: StepRequest): StepPlan {
  const { definition, options } = request;
  const name = options.name ?? definition.name;
  const resources = { ...definition.resources, ...options.resources };
  const poolName = options.pool ?? definition.pool;
  const choice = choosePool(
    name,
    { resources, ...(poolName === undefined ? {} : { pool: poolName }) },
    context.snapshot.pools,
  );
  if (!choice.ok) throw toFailure('NoPoolFits', choice.message);
  return {
    request,
    name,
    pool: choice.pool,
    resources,
    retry: { ...definition.retry, ...options.retry },
    timeout: options.timeout ?? definition.timeout,
    cache: planCache(context, request, name),
  };
}

async function executeStep(context: RunContext, call: LiveCall, plan: StepPlan): Promise<StepOutputs> {
  const base: CallStatus = {
    id: call.callId,
    kind: 'step',
    name: plan.name,
    state: 'running',
    attempt: 1,
    pool: plan.pool.name,
    startedAtMs: Date.now(),
    ...(plan.cache.shown && { cache: plan.cache.shown }),
  };
  context.view.put(base);
  try {
    return await runAttempts(context, call, { plan, base });
  } catch (error) {
    const shown = context.view.call(call.callId) ?? base;
    const endedAtMs = Date.now();
    if (isCancellation(error)) context.view.put({ ...shown, state: 'cancelled', endedAtMs });
    else if (shown.state !== 'failed')
      context.view.put({ ...shown, state: 'failed', endedAtMs, failure: readFailure(error) });
    throw error;
  }
}

/** Attempt after attempt, until one succeeds, the cache has a result, or the budget of what failed is spent. */
async function runAttempts(
  context: RunContext,
  call: LiveCall,
  { plan, base: begun }: { readonly plan: StepPlan; readonly base: CallStatus },
): Promise<StepOutputs> {
  let base = begun;
  let index: number | undefined;
  let { retry: state = FIRST_ATTEMPT, notBeforeMs } = call.pending ?? {};
  for (;;) {
    if (notBeforeMs !== undefined) await waitUntil(notBeforeMs, plan.name);
    const { attempt } = state;
    const cached =
      plan.cache.plan && (await findCached(context, call, { plan: plan.cache.plan, base, attempt }));
    const place = cached ? undefined : call.begin();
    if (place) await place;
    if (cached?.hit) return showHit(context, cached.base, cached.hit);
    base = cached?.base ?? base;
    index ??= context.nextIndex(plan.request.definition.name);
    const slot = cached?.slot;
    const outcome = await runAttempt(context, call, { plan, base, state, index, slot });
    const { attemptName } = outcome;
    const tracked = outcome.trackingRunId === undefined ? {} : { trackingRunId: outcome.trackingRunId };
    const ended = { ...base, ...tracked, attempt: state.attempt, attemptName, endedAtMs: Date.now() };
    if (outcome.kind === 'succeeded') {
      context.view.put({ ...ended, state: 'succeeded', detail: detailOf(outcome) });
      return { ...outcome.outputs, ...outcome.parameters };
    }
    const decision = decideRetry(plan.retry, plan.resources, { outcome, state, pool: plan.pool });
    const failure = { code: outcome.code, message: outcome.message, logTail: outcome.logTail };
    if (decision.action === 'fail') {
      context.view.put({ ...ended, state: 'failed', failure });
      throw toFailure(outcome.code, `${outcome.message} Not retried: ${decision.reason}.`);
    }
    ({ state } = decision);
    notBeforeMs = Date.now() + decision.delayMs;
    const raised =
      outcome.code === 'OutOfMemory' && state.memory !== undefined ? ` with ${state.memory}` : '';
    const detail = `next attempt in ${formatDuration(decision.delayMs)}${raised}`;
    context.view.put({ ...base, ...tracked, attempt: state.attempt, state: 'retrying', failure, detail });
    call.setPending({ retry: state, notBeforeMs });
    call.end();
  }
}

/** The result that the cache has for an attempt, or where the attempt's own result goes. */
async function findCached(
  context: RunContext,
  call: LiveCall,
  { plan, base, attempt }: { readonly plan: CachePlan; readonly base: CallStatus; readonly attempt: number },
): Promise<{ readonly base: CallStatus; readonly hit?: CacheHit; readonly slot: CacheSlot }> {
  const step = base.cache?.step ?? base.name;
  const onWait = (key: string, runId: string) => {
    const detail = `waiting for ${runId === context.runId ? 'another call of this run' : `run ${runId}`}`;
    context.view.put({ ...base, attempt, state: 'waiting', detail, cache: { step, key } });
  };
  const { key, answer } = await askCache(context, call, { plan, attempt, onWait });
  const { generation } = answer;
  const asked: CallStatus = { ...base, attempt, cache: { step, key, generation } };
  return { base: asked, slot: { key, generation }, ...(answer.kind === 'hit' && { hit: answer }) };
}

function showHit(context: RunContext, base: CallStatus, hit: CacheHit): StepOutputs {
  const { attemptName } = hit;
  const ended = { endedAtMs: Date.now(), detail: detailOf(hit), attemptName, cachedFrom: originOf(hit) };
  context.view.put({ ...base, ...ended, state: 'cached' });
  return { ...hit.outputs, ...hit.parameters };
}

async function waitUntil(atMs: number, name: string): Promise<void> {
  const left = atMs - Date.now();
  if (left > 0) await sleep(left, { summary: `retry delay of ${name}` });
}

interface AttemptPlan {
  readonly plan: StepPlan;
  readonly base: CallStatus;
  readonly state: RetryState;
  readonly index: number;
  readonly slot: CacheSlot | undefined;
}

/** Runs one attempt to its outcome. One that gave none is ended for certain before anything else happens. */
async function runAttempt(
  context: RunContext,
  call: LiveCall,
  attempt: AttemptPlan,
): Promise<AttemptOutcome> {
  const { plan, base, state, slot } = attempt;
  const request = attemptRequest(context, call, attempt);
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
  try {
    return await (slot ? pool.executeAttempt(request, slot) : pool.executeAttempt(request));
  } catch (error) {
    await CancellationScope.nonCancellable(async () => await endAttempt(request, plan));
    if (isCancellation(error)) throw error;
    return lostOutcome(error, plan);
  }
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
  const { request, timeout } = plan;
  const { definition } = request;
  const { snapshot, view } = context;
  const { image, python, mlflow } = definition;
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
    resources: state.memory === undefined ? plan.resources : { ...plan.resources, memory: state.memory },
    stopGraceMs: parseDuration(definition.stopGrace),
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration(timeout) }),
    ...(image === undefined ? {} : { image }),
    ...(python === undefined ? {} : { python }),
    ...(mlflow === undefined ? {} : { mlflow }),
    ...(view.tracking === undefined
      ? {}
      : { tracking: { experimentId: view.tracking.experimentId, parentRunId: view.tracking.runId } }),
  };
}

function originOf({ runId, executionId, tracking }: CacheHit): NonNullable<CallStatus['cachedFrom']> {
  return {
    runId,
    executionId,
    ...(tracking === undefined ? {} : { tracking }),
  };
}

/** Metric values for people: `f1=0.942 rows=1500`. */
function detailOf({ outputs }: Pick<CacheHit, 'outputs'>): string {
  const values = Object.values(outputs).flatMap((ref) => Object.entries(ref.values ?? {}));
  return values
    .slice(0, 6)
    .map(([name, value]) => `${name}=${typeof value === 'number' ? Number(value.toFixed(4)) : String(value)}`)
    .join(' ');
}
