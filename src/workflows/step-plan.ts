import type { RunSnapshot } from '../core/activities.js';
import { choosePool, type Pool } from '../core/pools.js';
import type { CallCache } from '../core/run.js';
import type { Resources, RetryPolicy } from '../core/step.js';
import type { StepRequest } from '../pipeline/runtime.js';
import { toFailure } from './failures.js';
import type { RunContext } from './run-context.js';
import { planCache, type CachePlan } from './step-cache.js';

/** A step call with everything decided that does not depend on its attempts. */
export interface StepPlan {
  /** The build whose step code the call uses, with its pools. */
  readonly snapshot: RunSnapshot;
  readonly request: StepRequest;
  readonly name: string;
  readonly pool: Pool;
  readonly resources: Resources;
  readonly retry: RetryPolicy;
  readonly timeout: string | undefined;
  readonly cache: { readonly plan?: CachePlan; readonly shown?: CallCache };
}

/** Decides pool and cache of a call. @throws NoPoolFits */
export function planStep(context: RunContext, request: StepRequest): StepPlan {
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
    snapshot: context.snapshot,
    request,
    name,
    pool: choice.pool,
    resources,
    retry: { ...definition.retry, ...options.retry },
    timeout: options.timeout ?? definition.timeout,
    cache: planCache(context, request, { name, pool: choice.pool }),
  };
}

/** The plan with what operators have set for the step since. @throws NoPoolFits */
export function currentPlan(context: RunContext, plan: StepPlan): StepPlan {
  const { definition, options } = plan.request;
  const { timeout = plan.timeout, memory, pool } = context.controls.settingsOf(definition.name, plan.name);
  if (timeout === plan.timeout && memory === undefined && pool === undefined) return plan;
  const resources = memory === undefined ? plan.resources : { ...plan.resources, memory };
  const named = pool ?? options.pool ?? definition.pool;
  const choice = choosePool(
    plan.name,
    { resources, ...(named === undefined ? {} : { pool: named }) },
    plan.snapshot.pools,
  );
  if (!choice.ok) throw toFailure('NoPoolFits', choice.message);
  return { ...plan, pool: choice.pool, resources, timeout };
}
