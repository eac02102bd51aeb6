import {
  ActivityCancellationType,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { PipelineActivities } from '../core/activities.js';
import { cacheKey, inputDigests, type CacheMaterial } from '../core/cache.js';
import { claimActivityId, type CacheAnswer, type CacheQuery } from '../core/claims.js';
import { parseDuration } from '../core/duration.js';
import { imageOn, problemOfImage } from '../core/image-reference.js';
import type { Pool } from '../core/pools.js';
import type { CallCache } from '../core/run.js';
import type { StepRequest } from '../pipeline/runtime.js';
import type { LiveCall } from './live-call.js';
import type { RunContext } from './run-context.js';

/** Time that a run waits for another one's result where the step does not say. */
const MAX_WAIT = '30m';
/** Time that reading the files of a result may take. */
const FULL_VERIFY_MS = 6 * 3_600_000;

/** How the cache takes part in a step call. */
export interface CachePlan {
  readonly name: string;
  /** Without the call and its attempt. Made when its turn comes: a fan-out of thousands would hash for seconds in one task. */
  readonly query: () => Omit<CacheQuery, 'callId' | 'attempt'>;
  readonly maxWaitMs: number;
}

/** What the cache is asked for a call, and what its status says of that. */
export function planCache(
  context: RunContext,
  request: StepRequest,
  { name, pool }: { readonly name: string; readonly pool: Pool },
): { readonly plan?: CachePlan; readonly shown?: CallCache } {
  const { definition, options } = request;
  if (definition.cache === false) return {};
  const step = definition.name;
  if (options.cache === false) return { shown: { step, off: 'this call says cache: false' } };
  const { off, refresh = [], verify } = context.snapshot.cache ?? {};
  if (off === true) return { shown: { step, off: 'the run was started without the cache' } };
  const { ttl, version, maxWait } = definition.cache;
  const why = version === undefined ? whyNotKnown(context, request, pool) : undefined;
  if (why !== undefined) return notCached(context, step, why);
  const query = () => {
    const material = materialOf(context, request, pool);
    return {
      key: cacheKey(material),
      material,
      pipeline: context.view.pipeline,
      ...(ttl === undefined ? {} : { ttlMs: parseDuration(ttl) }),
      ...(refresh.includes(step) ? { sinceMs: context.view.startedAtMs } : {}),
      ...(verify === undefined ? {} : { verify }),
    };
  };
  return { plan: { name, query, maxWaitMs: parseDuration(maxWait ?? MAX_WAIT) }, shown: { step } };
}

function materialOf({ snapshot }: RunContext, request: StepRequest, pool: Pool): CacheMaterial {
  const { definition } = request;
  const { name: step, image, env, outputs, cache } = definition;
  return {
    step,
    image: imageOn(pool.name, image, snapshot),
    code: snapshot.codeDigests[step],
    python: snapshot.pythonDigests[step],
    env,
    outputs,
    version: cache === false ? undefined : cache.version,
    command: request.command,
    parameters: request.parameters,
    inputs: inputDigests(request.inputs),
  };
}

/** Why the key would be the same though what the step reads, or the image that it runs in, is another; undefined: it would not. */
function whyNotKnown({ snapshot }: RunContext, request: StepRequest, pool: Pool): string | undefined {
  if (Object.keys(request.inputs).length === 0) return 'it has no artifact as input';
  const image = request.definition.image ?? snapshot.poolImages?.[pool.name];
  // Processes run in no image.
  if (image === undefined || pool.executor !== 'kubernetes') return undefined;
  const problem = problemOfImage(image, snapshot.images);
  return problem === undefined ? undefined : `the digest of its image "${image}" is not known, ${problem}`;
}

/** Said once for each run and step. */
function notCached(context: RunContext, step: string, why: string): { readonly shown: CallCache } {
  const off = `${why}; say cache: { version } to reuse its results`;
  if (context.said.has(step)) return { shown: { step } };
  context.said.add(step);
  log.warn(`step "${step}" is not cached: ${off}`);
  return { shown: { step, off } };
}

/** The answer for an attempt, and what was asked. */
export interface Asked {
  readonly key: string;
  readonly answer: Exclude<CacheAnswer, { readonly kind: 'busy' }>;
}

/**
 * Asks the cache before an attempt: gives a result, or the claim to make it. Waits while another call makes it. From the look-up on the
 * call is in flight: the run must not continue as new while it holds a claim.
 */
export async function askCache(
  context: Pick<RunContext, 'lookUps' | 'claimWaits' | 'localTurn'>,
  call: LiveCall,
  { plan, attempt, onWait }: AskOptions,
): Promise<Asked> {
  const { name, maxWaitMs } = plan;
  const { query, answer: first } = await context.lookUps.take(() => lookUp(context, call, { plan, attempt }));
  const untilMs = Date.now() + maxWaitMs;
  let answer = first;
  while (answer.kind === 'busy') {
    const { runId } = answer;
    onWait(query.key, runId);
    const { awaitCache } = proxyActivities<PipelineActivities>({
      activityId: claimActivityId(query, 'wait'),
      startToCloseTimeout: maxWaitMs + FULL_VERIFY_MS,
      heartbeatTimeout: '20s',
      retry: { maximumInterval: '30s' },
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary: `${name} waits for the result of ${runId}`.slice(0, 200),
    });
    answer = await context.claimWaits.take(() => awaitCache(query, { untilMs, runId }));
  }
  return { key: query.key, answer };
}

interface AskOptions {
  readonly plan: CachePlan;
  readonly attempt: number;
  /** Another run makes the result of this key. */
  readonly onWait: (key: string, runId: string) => void;
}

/** A local activity first: it costs one event. A store that does not answer at once is asked by a regular one, which may wait. */
async function lookUp(
  context: Pick<RunContext, 'localTurn'>,
  call: LiveCall,
  { plan, attempt }: Pick<AskOptions, 'plan' | 'attempt'>,
): Promise<{ readonly query: CacheQuery; readonly answer: CacheAnswer }> {
  const place = call.begin();
  if (place) await place;
  const query: CacheQuery = { ...plan.query(), callId: call.callId, attempt };
  const summary = `cache of ${plan.name}`;
  if (query.verify === undefined) {
    const local = proxyLocalActivities<PipelineActivities>({
      startToCloseTimeout: '2s',
      scheduleToCloseTimeout: '5s',
      summary,
    });
    let answer: CacheAnswer | undefined;
    try {
      answer = await local.askCache(query);
    } catch (error) {
      if (isCancellation(error)) throw error;
    }
    await context.localTurn();
    if (answer) return { query, answer };
  }
  const { askCache: ask } = proxyActivities<PipelineActivities>({
    activityId: claimActivityId(query, 'look-up'),
    startToCloseTimeout: query.verify === undefined ? '30s' : FULL_VERIFY_MS,
    heartbeatTimeout: '20s',
    retry: { maximumInterval: '1m' },
    summary,
  });
  return { query, answer: await ask(query) };
}
