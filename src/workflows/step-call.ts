import { isCancellation, sleep } from '@temporalio/workflow';
import type { AttemptOutcome } from '../core/attempt.js';
import { inputDigests } from '../core/cache.js';
import type { CacheHit, CacheSlot } from '../core/claims.js';
import { formatDuration } from '../core/duration.js';
import type { FailureCode } from '../core/failures.js';
import { decideRetry, FIRST_ATTEMPT, type RetryState } from '../core/retry.js';
import type { CallStatus } from '../core/run.js';
import type { StepOutputs, StepRequest } from '../pipeline/runtime.js';
import { readFailure, toFailure } from './failures.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';
import { runAttempt } from './step-attempt.js';
import { askCache, type Asked, type CachePlan } from './step-cache.js';
import { currentPlan, planStep, type StepPlan } from './step-plan.js';

// A step passes through as few async functions as can be: Temporal's sandbox takes a stack trace for each promise, and those are most of what
// a step costs there.

/** Runs a step, or answers from the journal or the cache. @throws a failure whose type is a code of the failure table. */
export function runStep(context: RunContext, request: StepRequest): Promise<StepOutputs> {
  const plan = planStep(context, request);
  const input = { parameters: request.parameters, inputs: inputDigests(request.inputs) };
  return context.call({ kind: 'step', name: plan.name, input }, (call) =>
    executeStep(context, call, plan.snapshot === context.snapshot ? plan : planStep(context, request)),
  );
}

function executeStep(context: RunContext, call: LiveCall, plan: StepPlan): Promise<StepOutputs> {
  const base: CallStatus = {
    id: call.callId,
    kind: 'step',
    name: plan.name,
    state: 'running',
    attempt: 1,
    pool: plan.pool.name,
    startedAtMs: Date.now(),
    ...(call.pending?.earlierAttempts && { earlierAttempts: call.pending.earlierAttempts }),
    ...(plan.cache.shown && { cache: plan.cache.shown }),
  };
  context.view.put(base);
  return runAttempts(context, call, { plan, base });
}

/** Attempt after attempt, until one succeeds, the cache has a result, or the budget of what failed is spent. */
async function runAttempts(
  context: RunContext,
  call: LiveCall,
  { plan: written, base: begun }: { readonly plan: StepPlan; readonly base: CallStatus },
): Promise<StepOutputs> {
  let base = begun;
  let index: number | undefined;
  let { retry: state = FIRST_ATTEMPT, notBeforeMs, earlierAttempts } = call.pending ?? {};
  try {
    for (;;) {
      if (notBeforeMs !== undefined) await waitUntil(notBeforeMs, written.name);
      const { attempt } = state;
      const asking = written.cache.plan;
      const asked = asking && (await askFor(context, call, { plan: asking, base, attempt }));
      const cached = readAsked(asked, { base, attempt });
      const place = cached ? undefined : call.begin();
      if (place) await place;
      if (cached?.hit) return showHit(context, cached.base, cached.hit);
      const plan = currentPlan(context, written);
      base = { ...(cached?.base ?? base), pool: plan.pool.name };
      index ??= context.nextIndex(plan.request.definition.name);
      const slot = cached?.slot;
      const outcome = await runAttempt(context, call, { plan, base, state, index, slot });
      const { attemptName } = outcome;
      const tracked = trackedAs(outcome);
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
      const detail = delayDetail(decision, outcome.code);
      context.view.put({ ...base, ...tracked, attempt: state.attempt, state: 'retrying', failure, detail });
      // The next execution's attempts are named after that; an attempt that was lost has no name to tell.
      if (attemptName !== '') earlierAttempts = [...(begun.earlierAttempts ?? []), attemptName];
      call.setPending({ retry: state, notBeforeMs, ...(earlierAttempts && { earlierAttempts }) });
      call.end();
    }
  } catch (error) {
    showFailure(context, base, error);
    throw error;
  }
}

function trackedAs({ trackingRunId, phases }: AttemptOutcome): Pick<CallStatus, 'trackingRunId' | 'phases'> {
  return {
    ...(trackingRunId === undefined ? {} : { trackingRunId }),
    ...(phases === undefined ? {} : { phases }),
  };
}

/** Shows how a call ended that gives no outputs, where that is not shown yet. */
function showFailure(context: RunContext, base: CallStatus, error: unknown): void {
  const shown = context.view.call(base.id) ?? base;
  const endedAtMs = Date.now();
  if (isCancellation(error)) context.view.put({ ...shown, state: 'cancelled', endedAtMs });
  else if (shown.state !== 'failed')
    context.view.put({ ...shown, state: 'failed', endedAtMs, failure: readFailure(error) });
}

function delayDetail(
  { delayMs, state }: { readonly delayMs: number; readonly state: RetryState },
  code: FailureCode,
): string {
  const raised = code === 'OutOfMemory' && state.memory !== undefined ? ` with ${state.memory}` : '';
  return `next attempt in ${formatDuration(delayMs)}${raised}`;
}

/** Asks the cache for an attempt. */
function askFor(
  context: RunContext,
  call: LiveCall,
  { plan, base, attempt }: { readonly plan: CachePlan; readonly base: CallStatus; readonly attempt: number },
): Promise<Asked> {
  const step = base.cache?.step ?? base.name;
  const onWait = (key: string, runId: string) => {
    const detail = `waiting for ${runId === context.runId ? 'another call of this run' : `run ${runId}`}`;
    context.view.put({ ...base, attempt, state: 'waiting', detail, cache: { step, key } });
  };
  return askCache(context, call, { plan, attempt, onWait });
}

/** What the cache said for an attempt: the result that it has, or where the attempt's own result goes. */
function readAsked(
  asked: Asked | undefined,
  { base, attempt }: { readonly base: CallStatus; readonly attempt: number },
): { readonly base: CallStatus; readonly hit?: CacheHit; readonly slot: CacheSlot } | undefined {
  if (!asked) return undefined;
  const { key, answer } = asked;
  const { generation } = answer;
  const cache = { step: base.cache?.step ?? base.name, key, generation };
  const hit = answer.kind === 'hit' ? { hit: answer } : {};
  return { base: { ...base, attempt, cache }, slot: { key, generation }, ...hit };
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
