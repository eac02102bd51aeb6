import type { Client } from '@temporalio/client';
import { AnnealError } from '../../core/failures.js';
import { addHold, readHolds, removeHold, type Hold } from './holds.js';
import { planRetention, type PlanOptions, type RetentionPlan } from './plan-retention.js';
import type { GcOptions, RetentionDeps } from './retention-deps.js';
import { createRunSource } from './temporal-runs.js';
import { surveyRuns } from './survey-store.js';
import { sweep, type SweepResult } from './sweep.js';

/** What a hold is on. */
export type HoldSubject = Pick<Hold, 'kind' | 'name'>;

/** What of a project's store is kept, and what goes. */
export interface Retention {
  /** Looks what may go, and changes nothing. @throws AnnealError ServerUnreachable, StoreUnavailable, InvalidConfig. */
  plan(options?: PlanOptions): Promise<RetentionPlan>;
  /**
   * Removes what a plan says, as far as a second look confirms it. Stopped anywhere, the next plan and sweep go on.
   * @throws AnnealError InvalidInput where another one works; the signal's reason.
   */
  sweep(plan: RetentionPlan, options?: GcOptions): Promise<SweepResult>;
  /** @throws AnnealError RunNotFound; InvalidInput for a model without versions, or a run that is being removed. */
  hold(subject: HoldSubject, why: Pick<Hold, 'by' | 'reason'>): Promise<'added' | 'exists'>;
  /** @throws AnnealError InvalidInput where there is no such hold. */
  release(subject: HoldSubject): Promise<void>;
  /** In the order of their names. */
  holds(): Promise<Hold[]>;
}

/** What {@link createRetention} is made of. */
export interface RetentionOptions extends Omit<RetentionDeps, 'runs'> {
  /** Connected to the project's server and namespace, with its data converter. */
  readonly temporal: Client;
}

/** Retention over a connection that the caller made and closes. */
export function createRetention({ temporal, ...options }: RetentionOptions): Retention {
  const runs = createRunSource({ temporal, project: options.project });
  const deps: RetentionDeps = { ...options, runs };
  return {
    plan: async (planOptions) => await planRetention(deps, planOptions),
    sweep: async (plan, sweepOptions) => await sweep(deps, plan, sweepOptions),
    hold: async (subject, why) => {
      const executionIds = await executionsOf(deps, subject);
      return await addHold(deps.store, { ...subject, ...why, executionIds, atMs: deps.clock.nowMs() });
    },
    release: async (subject) => await removeHold(deps.store, subject),
    holds: async () => await readHolds(deps.store),
  };
}

async function executionsOf(deps: RetentionDeps, { kind, name }: HoldSubject): Promise<string[]> {
  if (kind === 'model') {
    const versions = ((await deps.registered?.()) ?? []).filter(({ modelName }) => modelName === name);
    if (versions.length === 0)
      throw new AnnealError(
        'InvalidInput',
        `The registry has no version of model "${name}" that a run of Anneal registered. Look at the name in MLflow.`,
      );
    return [...new Set(versions.map(({ executionId }) => executionId))];
  }
  const newest = await deps.runs.executionOf(name);
  if (newest !== undefined) return [newest];
  const stored = (await surveyRuns(deps.store)).filter(({ record }) => record?.runId === name);
  if (stored.length === 0)
    throw new AnnealError(
      'RunNotFound',
      `There is no run "${name}" in Temporal or in the store. See what there is with: anneal list`,
    );
  return stored.map(({ executionId }) => executionId);
}
