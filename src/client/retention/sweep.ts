import { storeKeys, type StoredObject } from '../../core/artifact-store.js';
import { readGenerations } from '../../core/claims.js';
import { decideGenerations, endingUnits, unitOf } from '../../core/retention.js';
import { toPathSegment } from '../../core/run.js';
import type { EndingRun } from './ending-runs.js';
import { GC_KEYS, withGcLock } from './gc-lock.js';
import { readHolds } from './holds.js';
import { restoreRecords } from '../lineage-repair.js';
import {
  planRetention,
  type DetailedPlan,
  type EndingGeneration,
  type RetentionPlan,
} from './plan-retention.js';
import type { GcOptions, RetentionDeps } from './retention-deps.js';
import { claimOwner } from './store-owner.js';
import { lastUses, readKey, surveyUses } from './survey-store.js';

/** What was removed. */
export interface SweepResult {
  readonly runs: number;
  readonly generations: number;
  readonly objects: number;
  readonly sizeBytes: number;
  /** Runs of the plan that were left alone: something has come to use or hold them since. */
  readonly spared: readonly string[];
}

/**
 * Carries a plan out. Cached results go first; then everything is looked at once more, and only what goes by both looks is removed, run by
 * run, the record last. Who stops it anywhere leaves a store in which every run and result is whole or refused, and the next one goes on.
 * @throws AnnealError InvalidInput where another one works, ServerUnreachable, StoreUnavailable; the signal's reason.
 */
export async function sweep(
  deps: RetentionDeps,
  plan: RetentionPlan,
  options: GcOptions = {},
): Promise<SweepResult> {
  const startedAtMs = deps.clock.nowMs();
  return await withGcLock(deps, async () => {
    await claimOwner(deps);
    // What one that was killed left.
    await deps.store.remove([GC_KEYS.removing]);
    let generations = 0;
    for (const ending of plan.generations) {
      options.signal?.throwIfAborted();
      if (await endGeneration(deps, ending)) generations++;
    }
    const second = await planRetention(deps, { ...options, endingCounts: true });
    const removal: Removal = {
      deps,
      second,
      beforeMs: startedAtMs - deps.policy.graceMs,
      removed: { objects: 0, sizeBytes: 0 },
    };
    const spared = await removeRuns(removal, plan.runs, options);
    await removePayloads(removal, plan);
    await removeUnneeded(
      deps,
      second.uses.filter((key) => plan.uses.includes(key)),
    );
    await removeUnneeded(
      deps,
      second.records.filter((key) => plan.records.includes(key)),
    );
    return { runs: plan.runs.length - spared.length, generations, ...removal.removed, spared };
  });
}

interface Removal {
  readonly deps: RetentionDeps;
  /** Made after the cached results were taken out. */
  readonly second: DetailedPlan;
  /** Nothing that was written later is touched. */
  readonly beforeMs: number;
  readonly removed: { objects: number; sizeBytes: number };
}

/**
 * Takes a generation out of the cache. It is closed first: a look-up that has just written down its use sees that, as a use that was
 * written before is seen by the second look. The mark goes last, so that what is left of a stopped removal is never a result.
 */
async function endGeneration(
  { store, policy, clock }: RetentionDeps,
  { step, key, generation }: EndingGeneration,
): Promise<boolean> {
  const objects: StoredObject[] = [];
  for await (const object of store.list(storeKeys.cacheKey(step, key))) objects.push(object);
  const attempts = await readKey(store, { step, key, objects, usedAtMs: new Map() });
  const attempt = attempts.find(({ number }) => number === generation)?.attempt;
  const usedAtMs = lastUses(attempt === undefined ? [] : await surveyUses(store, attempt));
  const now = await readKey(store, { step, key, objects, usedAtMs });
  if (!decideGenerations(now, { policy, nowMs: clock.nowMs() }).has(generation)) return false;
  const prefix = storeKeys.cacheGeneration({ step, key, generation });
  const closed = `${prefix}closed.json`;
  if (
    readGenerations(objects.map((object) => object.key)).some(
      (found) => found.number === generation && !found.closed,
    )
  ) {
    const mark = { reason: 'anneal gc took it out', atMs: clock.nowMs() };
    await store.putBytes(closed, new TextEncoder().encode(JSON.stringify(mark)), {
      ifAbsent: true,
      remakeable: true,
    });
  }
  await store.remove([`${prefix}entry.json`, `${prefix}claim.json`]);
  await store.remove([closed]);
  return true;
}

async function removeRuns(
  removal: Removal,
  planned: readonly EndingRun[],
  { onProgress, signal }: GcOptions,
): Promise<string[]> {
  const { store } = removal.deps;
  const again = new Map(removal.second.runs.map((run) => [run.executionId, run]));
  const spared: string[] = [];
  let done = 0;
  for (const run of planned) {
    signal?.throwIfAborted();
    const confirmed = again.get(run.executionId);
    if (confirmed?.what === run.what && !(await isTakenUp(removal.deps, run))) await removeRun(removal, run);
    else spared.push(run.runId ?? run.executionId);
    onProgress?.({ phase: 'removing', done: ++done, total: planned.length });
  }
  if (planned.length > 0) await store.remove([GC_KEYS.removing]);
  return spared;
}

/** The last look. The run was reset, or is held: whoever adds a hold looks at what is written here. */
async function isTakenUp(
  { store, runs }: RetentionDeps,
  { executionId, runId }: EndingRun,
): Promise<boolean> {
  await store.putBytes(GC_KEYS.removing, new TextEncoder().encode(JSON.stringify({ executionId })), {
    remakeable: true,
  });
  const isHeld = (await readHolds(store)).some(
    ({ kind, name, executionIds }) =>
      executionIds.includes(executionId) ||
      (kind === 'run' && runId !== undefined && toPathSegment(name) === toPathSegment(runId)),
  );
  return isHeld || (runId !== undefined && (await runs.isLive({ runId, executionId })));
}

async function removeRun(removal: Removal, { executionId, what }: EndingRun): Promise<void> {
  const { store } = removal.deps;
  const found: StoredObject[] = [];
  for await (const object of store.list(`runs/${executionId}/`)) found.push(object);
  const units = new Set(found.map(({ key }) => unitOf(key)));
  const ending =
    what === 'checkpoints'
      ? new Set([`runs/${executionId}/checkpoints`])
      : endingUnits(executionId, units, removal.second.referenced);
  // Manifests hold what lineage knows of the run, should a power failure have taken its records.
  if (what !== 'checkpoints') await restoreRecords(removal.deps, `runs/${executionId}/`);
  const isRecord = ({ key }: StoredObject) => key === storeKeys.run(executionId);
  const objects = found.filter(({ key }) => ending.has(unitOf(key)));
  await removeObjects(
    removal,
    objects.filter((object) => !isRecord(object)),
  );
  await removeObjects(removal, objects.filter(isRecord));
}

async function removePayloads(removal: Removal, plan: RetentionPlan): Promise<void> {
  const { second, deps } = removal;
  const planned = new Set(plan.payloads.map(({ key }) => key));
  const objects: StoredObject[] = [];
  if (second.payloads.length > 0)
    for await (const object of deps.store.list('payloads/'))
      if (planned.has(object.key)) objects.push(object);
  const confirmed = new Set(second.payloads.map(({ key }) => key));
  await removeObjects(
    removal,
    objects.filter(({ key }) => confirmed.has(key)),
  );
}

/** Uses whose runs are gone protect nothing, and old records tell nobody anything. */
async function removeUnneeded({ store }: RetentionDeps, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += REMOVED_AT_ONCE)
    await store.remove(keys.slice(from, from + REMOVED_AT_ONCE));
}

const REMOVED_AT_ONCE = 1_000;

async function removeObjects(
  { deps, beforeMs, removed }: Removal,
  objects: readonly StoredObject[],
): Promise<void> {
  const old = objects.filter(({ modifiedAtMs }) => modifiedAtMs <= beforeMs);
  for (let from = 0; from < old.length; from += REMOVED_AT_ONCE) {
    const batch = old.slice(from, from + REMOVED_AT_ONCE);
    await deps.store.remove(batch.map(({ key }) => key));
    removed.objects += batch.length;
    removed.sizeBytes += batch.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  }
}
