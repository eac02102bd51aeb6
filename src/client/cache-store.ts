import { storeKeys, type ArtifactStore, type StoredObject } from '../core/artifact-store.js';
import {
  readGenerations,
  type CacheEntry,
  type CacheObject,
  type Claim,
  type Generation,
} from '../core/claims.js';

/** The part of a store that the cache is read and cleared with. */
export type CacheStore = Pick<ArtifactStore, 'readBytes' | 'list' | 'removeAll'>;

/** What the store holds of one key. */
export interface StoredKey {
  readonly step: string;
  readonly key: string;
  readonly generations: readonly Generation[];
  readonly modifiedAtMs: number;
}

/** The keys of a step, or of all, the one that changed last first. */
export async function listKeys(store: CacheStore, step?: string): Promise<StoredKey[]> {
  const objects = new Map<string, StoredObject[]>();
  for await (const object of store.list(step === undefined ? 'cache/' : storeKeys.cacheStep(step))) {
    const [, ofStep, key] = object.key.split('/');
    const of = `${ofStep ?? ''}/${key ?? ''}`;
    objects.set(of, [...(objects.get(of) ?? []), object]);
  }
  return [...objects]
    .map(([of, found]) => {
      const [ofStep = '', key = ''] = of.split('/');
      return {
        step: ofStep,
        key,
        generations: readGenerations(found.map((object) => object.key)),
        modifiedAtMs: Math.max(...found.map((object) => object.modifiedAtMs)),
      };
    })
    .filter(({ generations }) => generations.length > 0)
    .sort((a, b) => b.modifiedAtMs - a.modifiedAtMs);
}

/** Reads an object of a key; undefined where it is not there, or torn. */
export async function readObject<T extends CacheEntry | Claim>(
  store: CacheStore,
  of: { readonly step: string; readonly key: string; readonly generation: number },
  object: Exclude<CacheObject, 'closed'>,
): Promise<T | undefined> {
  const bytes = await store.readBytes(`${storeKeys.cacheGeneration(of)}${object}.json`);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch {
    return undefined;
  }
}
