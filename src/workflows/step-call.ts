import {
  ActivityCancellationType,
  CancellationScope,
  ActivityFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  sleep,
} from '@temporalio/workflow';
import type { CacheEntry, PipelineActivities, PoolActivities } from '../core/activities.js';
import type { AttemptFailed, AttemptOutcome, AttemptRequest } from '../core/attempt.js';
import { digestOf } from '../core/digest.js';
import { formatDuration, parseDuration } from '../core/duration.js';
import type { Json } from '../core/json.js';
import { choosePool, type Pool } from '../core/pools.js';
import { decideRetry, FIRST_ATTEMPT, type RetryState } from '../core/retry.js';
import type { CallStatus } from '../core/run.js';
import type { Resources, RetryPolicy } from '../core/step.js';
import type { StepOutputs, StepRequest } from '../pipeline/runtime.js';
import { readFailure, toFailure } from './failures.js';
import type { LiveCall, RunContext } from './run-context.js';

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
  readonly cacheKey: string | undefined;
}

/** Runs a step, or answers from the journal or the cache. @throws a failure whose type is a code of the failure table. */
export function runStep(context: RunContext, request: StepRequest): Promise<StepOutputs> {
  const plan = planStep(context, request);
  const input = { parameters: request.parameters, inputs: inputDigests(request) };
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
  const cached = definition.cache !== false && options.cache !== false && !context.snapshot.noCache;
  return {
    request,
    name,
    pool: choice.pool,
    resources,
    retry: { ...definition.retry, ...options.retry },
    timeout: options.timeout ?? definition.timeout,
    cacheKey: cached ? cacheKeyOf(context, request) : undefined,
  };
}

function inputDigests(request: StepRequest): { readonly [name: string]: Json } {
  return Object.fromEntries(
    Object.entries(request.inputs).map(([name, ref]) => [name, [ref.kind, ref.digest]]),
  );
}

/** Everything that decides what the step makes, and nothing else: not resources, retries, pools or names of runs. */
function cacheKeyOf(context: RunContext, request: StepRequest): string {
  const { definition } = request;
  const { version } = definition.cache === false ? {} : definition.cache;
  return digestOf({
    step: definition.name,
    image: definition.image,
    code: context.snapshot.codeDigests[definition.name],
    python: context.snapshot.pythonDigests[definition.name],
    env: definition.env,
    outputs: definition.outputs,
    version,
    command: request.command,
    parameters: request.parameters,
    inputs: inputDigests(request),
  });
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
  };
  context.view.put(base);
  try {
    const hit = plan.cacheKey === undefined ? null : await lookUp(plan, plan.cacheKey);
    if (!hit) return await runAttempts(context, call, { plan, base });
    const { attemptName } = hit;
    const ended = { endedAtMs: Date.now(), detail: detailOf(hit), attemptName, cachedFrom: originOf(hit) };
    context.view.put({ ...base, ...ended, state: 'cached' });
    return { ...hit.outputs, ...hit.parameters };
  } catch (error) {
    if (isCancellation(error)) {
      const shown = context.view.call(call.callId) ?? base;
      context.view.put({ ...shown, state: 'cancelled', endedAtMs: Date.now() });
    }
    throw error;
  }
}

/** Attempt after attempt, until one succeeds or the budget of what failed is spent. */
async function runAttempts(
  context: RunContext,
  call: LiveCall,
  { plan, base }: { readonly plan: StepPlan; readonly base: CallStatus },
): Promise<StepOutputs> {
  const index = context.nextIndex(plan.request.definition.name);
  let { retry: state = FIRST_ATTEMPT, notBeforeMs } = call.pending ?? {};
  for (;;) {
    if (notBeforeMs !== undefined) await waitUntil(notBeforeMs, plan.name);
    const outcome = await runAttempt(context, call, { plan, base, state, index });
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
    const raised = outcome.code === 'OutOfMemory' && state.memory !== undefined ? ` with ${state.memory}` : '';
    const detail = `next attempt in ${formatDuration(decision.delayMs)}${raised}`;
    context.view.put({ ...base, ...tracked, attempt: state.attempt, state: 'retrying', failure, detail });
    call.setPending({ retry: state, notBeforeMs });
    call.end();
  }
}

async function waitUntil(atMs: number, name: string): Promise<void> {
  const left = atMs - Date.now();
  if (left > 0) await sleep(left, { summary: `retry delay of ${name}` });
}

async function lookUp(plan: StepPlan, key: string): Promise<CacheEntry | null> {
  const { cache } = plan.request.definition;
  const ttlMs = cache !== false && cache.ttl !== undefined ? parseDuration(cache.ttl) : undefined;
  const input = { key, ...(ttlMs === undefined ? {} : { ttlMs }) };
  try {
    const local = proxyLocalActivities<PipelineActivities>({
      startToCloseTimeout: '2s',
      scheduleToCloseTimeout: '5s',
      summary: `cache of ${plan.name}`,
    });
    return await local.lookUpCache(input);
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { lookUpCache } = proxyActivities<PipelineActivities>({
      startToCloseTimeout: '10s',
      retry: { maximumInterval: '1m' },
      summary: `cache of ${plan.name}`,
    });
    return await lookUpCache(input);
  }
}

interface AttemptPlan {
  readonly plan: StepPlan;
  readonly base: CallStatus;
  readonly state: RetryState;
  readonly index: number;
}

/** Runs one attempt to its outcome. One that gave none is ended for certain before anything else happens. */
async function runAttempt(
  context: RunContext,
  call: LiveCall,
  { plan, base, state, index }: AttemptPlan,
): Promise<AttemptOutcome> {
  await call.begin();
  const request = attemptRequest(context, call, { plan, base, state, index });
  if (state.attempt !== base.attempt) context.view.put({ ...base, attempt: state.attempt, state: 'running' });
  const pool = proxyActivities<PoolActivities>({
    taskQueue: plan.pool.taskQueue,
    startToCloseTimeout:
      request.timeoutMs === undefined ? NO_LIMIT_MS : request.timeoutMs + request.stopGraceMs + OVERHEAD_MS,
    heartbeatTimeout: '6s',
    retry: { initialInterval: '500ms', backoffCoefficient: 1.5, maximumInterval: '10s' },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: state.attempt === 1 ? plan.name : `${plan.name}, attempt ${state.attempt}`,
  });
  try {
    return await pool.executeAttempt(request, plan.cacheKey);
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

function originOf({ runId, executionId, tracking }: CacheEntry): NonNullable<CallStatus['cachedFrom']> {
  return {
    runId,
    ...(executionId === undefined ? {} : { executionId }),
    ...(tracking === undefined ? {} : { tracking }),
  };
}

/** Metric values for people: `f1=0.942 rows=1500`. */
function detailOf({ outputs }: Pick<CacheEntry, 'outputs'>): string {
  const values = Object.values(outputs).flatMap((ref) => Object.entries(ref.values ?? {}));
  return values
    .slice(0, 6)
    .map(([name, value]) => `${name}=${typeof value === 'number' ? Number(value.toFixed(4)) : String(value)}`)
    .join(' ');
}
