import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import {
  readGenerations,
  type CacheEntry,
  type CacheObject,
  type Claim,
  type Closed,
  type Generation,
} from '../core/claims.js';

/** A cache key, with the step that it belongs to. */
export interface KeyedStep {
  readonly step: string;
  readonly key: string;
}

/** The objects of cache keys in the store. */
export type CacheObjects = ReturnType<typeof createCacheObjects>;

/** Reads and writes what the store holds of cache keys. What cannot be read as JSON (torn by a power failure) is `undefined`. */
export function createCacheObjects(store: ArtifactStore) {
  const keyOf = ({ step, key }: KeyedStep, generation: number, object: CacheObject) =>
    `${storeKeys.cacheGeneration({ step, key, generation })}${object}.json`;
  const read = async <T>(of: KeyedStep, generation: number, object: CacheObject): Promise<T | undefined> => {
    const bytes = await store.readBytes(keyOf(of, generation, object));
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(new TextDecoder().decode(bytes)) as T;
    } catch {
      return undefined;
    }
  };
  return {
    generations: async (of: KeyedStep): Promise<Generation[]> => {
      const keys: string[] = [];
      for await (const { key } of store.list(storeKeys.cacheKey(of.step, of.key))) keys.push(key);
      return readGenerations(keys);
    },
    readClaim: async (of: KeyedStep, generation: number) => await read<Claim>(of, generation, 'claim'),
    readClosed: async (of: KeyedStep, generation: number) => await read<Closed>(of, generation, 'closed'),
    isClosed: async (of: KeyedStep, generation: number) =>
      (await store.stat(keyOf(of, generation, 'closed'))) !== undefined,
    readEntry: async (of: KeyedStep, generation: number) => await read<CacheEntry>(of, generation, 'entry'),
    /** Writes an object that is written once; false: it is there already. */
    write: async (of: KeyedStep & { readonly generation: number }, object: CacheObject, content: object) => {
      const bytes = new TextEncoder().encode(JSON.stringify(content));
      const written = await store.putBytes(keyOf(of, of.generation, object), bytes, {
        ifAbsent: true,
        remakeable: true,
      });
      return written === 'stored';
    },
    remove: async ({ step, key }: KeyedStep, generation: number) =>
      await store.removeAll(storeKeys.cacheGeneration({ step, key, generation })),
  };
}
