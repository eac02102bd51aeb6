import { nearestOf, type Compared, type PartChange } from '../core/cache.js';
import type { CacheEntry, Claim } from '../core/claims.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import type { CallStatus } from '../core/run.js';
import { listKeys, readObject, type CacheStore } from './cache-store.js';
import type { ClientDeps } from './client-deps.js';
import { readStatus } from './read-status.js';

/** Why one call was answered from the cache, or not. */
export interface CacheExplanation {
  readonly call: string;
  /** `none`: the cache was not asked. */
  readonly verdict: 'hit' | 'miss' | 'none';
  /** For people; without the components that differ. */
  readonly reason: string;
  readonly key?: string;
  /** The earlier result with the fewest differing components, the newest of equals; of a hit, the result itself. */
  readonly nearest?: { readonly runId: string; readonly key: string; readonly storedAtMs: number };
  /** What differs from the nearest one: a file of the step's code, a parameter, an input. */
  readonly changes?: readonly PartChange[];
}

/** Earlier results that a miss is compared with at most, the newest. */
const COMPARED = 500;

/** Explains the calls of a step in a run. @throws AnnealError RunNotFound, InvalidInput. */
export async function explainCache(
  deps: ClientDeps,
  store: CacheStore,
  { runId, step }: { readonly runId: string; readonly step: string },
): Promise<CacheExplanation[]> {
  const { calls } = await readStatus(deps, runId);
  const steps = calls.filter((call) => call.kind === 'step');
  const asked = steps.filter((call) => call.name === step || call.cache?.step === step);
  if (asked.length === 0) {
    const names = [...new Set(steps.map((call) => call.name))];
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" shows no call of step "${step}"; it shows ${names.join(', ') || 'none'}.${didYouMean(step, names)}`,
    );
  }
  return await Promise.all(asked.map(async (call) => await explainCall(store, call, whyOff(asked, call))));
}

/** Why calls of the step are not cached is said with the first of them. */
function whyOff(calls: readonly CallStatus[], { cache }: CallStatus): string {
  const said = calls.find((one) => one.cache?.step === cache?.step && one.cache?.off !== undefined);
  return said?.cache?.off ?? 'why is said with the first call of the step, which is not shown any more';
}

async function explainCall(store: CacheStore, call: CallStatus, off: string): Promise<CacheExplanation> {
  const { name, cache } = call;
  const none = (reason: string): CacheExplanation => ({ call: name, verdict: 'none', reason });
  if (!cache) return none('the step has no cache; give it one with cache: {}');
  const { step, key, generation } = cache;
  if (key === undefined) return none(off);
  if (generation === undefined)
    return none(call.state === 'waiting' ? (call.detail ?? 'it waits') : 'the cache has not answered yet');
  const of = { step, key, generation };
  if (call.state !== 'cached') return await explainMiss(store, { call: name, of });
  const entry = await readObject<CacheEntry>(store, of, 'entry');
  const nearest = entry && { runId: entry.runId, key, storedAtMs: entry.storedAtMs };
  const reason = `all components of its key are those of run ${call.cachedFrom?.runId ?? entry?.runId ?? ''}`;
  return { call: name, verdict: 'hit', reason, key, ...(nearest && { nearest }) };
}

interface Missed {
  readonly call: string;
  readonly of: { readonly step: string; readonly key: string; readonly generation: number };
}

async function explainMiss(store: CacheStore, { call, of }: Missed): Promise<CacheExplanation> {
  const { step, key } = of;
  const miss = { call, verdict: 'miss', key } as const;
  const claim = await readObject<Claim>(store, of, 'claim');
  if (!claim) return { ...miss, reason: 'what its key was made of is no longer in the store' };
  if (claim.passedOver !== undefined)
    return { ...miss, reason: `there was the same key before, but ${claim.passedOver}` };
  const found = nearestOf(await earlierResults(store, step, claim), claim.parts);
  if (!found) return { ...miss, reason: `no earlier result of step "${step}" is in the cache` };
  const { nearest, changes } = found;
  const { runId, key: nearestKey, storedAtMs } = nearest;
  return {
    ...miss,
    reason: `it differs from the nearest earlier result, of run ${runId}`,
    nearest: { runId, key: nearestKey, storedAtMs },
    changes,
  };
}

interface EarlierResult extends Compared {
  readonly runId: string;
  readonly key: string;
}

/** Results of other keys that were there when the claim was made. */
async function earlierResults(store: CacheStore, step: string, claim: Claim): Promise<EarlierResult[]> {
  const results: EarlierResult[] = [];
  for (const { key, generations } of (await listKeys(store, step)).slice(0, COMPARED)) {
    const newest = generations.findLast(({ entry }) => entry);
    if (key === claim.key || !newest) continue;
    const of = { step, key, generation: newest.number };
    const [entry, made] = await Promise.all([
      readObject<CacheEntry>(store, of, 'entry'),
      readObject<Claim>(store, of, 'claim'),
    ]);
    if (!entry || !made || entry.storedAtMs > claim.claimedAtMs) continue;
    results.push({ runId: entry.runId, key, storedAtMs: entry.storedAtMs, parts: made.parts });
  }
  return results;
}
