import { storeKeys } from '../core/artifact-store.js';
import type { CacheEntry, Generation } from '../core/claims.js';
import { AnnealError } from '../core/failures.js';
import { listKeys, readObject, type CacheStore } from './cache-store.js';
import type { ClientDeps } from './client-deps.js';
import { explainCache, type CacheExplanation } from './explain-cache.js';

/** Which results are meant; all of them where nothing is said. */
export interface CacheFilter {
  /** The pipeline whose run made it. */
  readonly pipeline?: string;
  readonly step?: string;
}

/** A result that later calls may reuse. */
export interface CachedResult extends Pick<
  CacheEntry,
  'step' | 'key' | 'generation' | 'runId' | 'executionId' | 'pipeline' | 'storedAtMs'
> {
  readonly sizeBytes: number;
}

/** The cache of a project's steps. Needs a client with a store. */
export interface ClientCache {
  /** Results by step, the newest first. Whether their files are still there is not looked at. */
  list(filter?: CacheFilter): Promise<CachedResult[]>;
  /** Takes results out of the cache; their files stay in the store. Answers with what was, or would be, taken out. */
  clear(filter?: CacheFilter, options?: { readonly dryRun?: boolean }): Promise<CachedResult[]>;
  /**
   * Why the calls of a step in a run were answered from the cache, or not.
   * @throws AnnealError RunNotFound, InvalidInput for a step that the run does not show.
   */
  why(runId: string, step: string): Promise<CacheExplanation[]>;
}

/** The cache as a client sees it. */
export function createClientCache(deps: ClientDeps): ClientCache {
  return {
    list: async (filter = {}) => (await findResults(storeOf(deps), filter)).map(({ shown }) => shown),
    clear: async (filter = {}, { dryRun = false } = {}) => {
      const store = storeOf(deps);
      const found = await findResults(store, filter);
      if (!dryRun) for (const { shown, generations } of found) await clearKey(store, shown, generations);
      return found.map(({ shown }) => shown);
    },
    why: async (runId, step) => await explainCache(deps, storeOf(deps), { runId, step }),
  };
}

function storeOf({ store }: ClientDeps): CacheStore {
  const { list, removeAll, readBytes } = store ?? {};
  if (list && removeAll && readBytes) return { list, removeAll, readBytes };
  throw new AnnealError(
    'InvalidInput',
    'This client was made without the artifact store, where the cache is. Pass the whole store to createAnnealClient.',
  );
}

interface FoundResult {
  readonly shown: CachedResult;
  readonly generations: readonly Generation[];
}

async function findResults(store: CacheStore, filter: CacheFilter): Promise<FoundResult[]> {
  const found: FoundResult[] = [];
  for (const { step, key, generations } of await listKeys(store, filter.step)) {
    const newest = generations.findLast(({ entry, closed }) => entry && !closed);
    if (!newest) continue;
    const entry = await readObject<CacheEntry>(store, { step, key, generation: newest.number }, 'entry');
    if (!entry || (filter.pipeline !== undefined && entry.pipeline !== filter.pipeline)) continue;
    const { generation, runId, executionId, pipeline, storedAtMs } = entry;
    const sizeBytes = Object.values(entry.outputs).reduce((sum, output) => sum + output.sizeBytes, 0);
    found.push({
      shown: { step, key, generation, runId, executionId, pipeline, storedAtMs, sizeBytes },
      generations,
    });
  }
  const later = (a: CachedResult, b: CachedResult) =>
    a.step === b.step ? b.storedAtMs - a.storedAtMs : a.step < b.step ? -1 : 1;
  return found.sort((a, b) => later(a.shown, b.shown));
}

/** A claim that is still open stays: somebody may be making the result, and others wait for that. */
async function clearKey(
  store: CacheStore,
  { step, key }: { readonly step: string; readonly key: string },
  generations: readonly Generation[],
): Promise<void> {
  for (const { number, claim, entry, closed } of generations)
    if (!claim || entry || closed)
      await store.removeAll(storeKeys.cacheGeneration({ step, key, generation: number }));
}
