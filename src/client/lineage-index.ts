import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { LineageReuse, LineageStep } from '../core/lineage.js';

/** The part of a store that lineage is read with. */
export type LineageStore = Pick<ArtifactStore, 'readBytes' | 'list'>;

/** An attempt, as the key of a pointer names it. */
export interface AttemptKey {
  readonly executionId: string;
  readonly attemptName: string;
}

/** Part of a list. `next` goes on behind it; absent at the end. */
export interface LineagePage<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/** What the store knows of an attempt: its record, or that its call took another run's result. Torn ones are taken as absent. */
export async function readStep(
  store: LineageStore,
  { executionId, attemptName }: AttemptKey,
): Promise<LineageStep | LineageReuse | undefined> {
  return await readJson<LineageStep | LineageReuse>(store, storeKeys.lineageStep(executionId, attemptName));
}

/** Attempts that made, or used, an artifact, in the order of their keys. */
export async function listAttempts(
  store: LineageStore,
  of: {
    readonly digest: string;
    readonly role: 'made' | 'used';
    readonly limit: number;
    readonly after?: string;
  },
): Promise<LineagePage<AttemptKey>> {
  const { items, next } = await listNames(store, storeKeys.lineageArtifact(of.digest, of.role), of);
  const keys = items.flatMap((name) => {
    const at = name.indexOf('.');
    return at < 0 ? [] : [{ executionId: name.slice(0, at), attemptName: name.slice(at + 1) }];
  });
  return { items: keys, ...(next === undefined ? {} : { next }) };
}

/** Names of the objects below a prefix that ends in `/`, without `.json`, behind `after`. */
export async function listNames(
  store: LineageStore,
  prefix: string,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): Promise<LineagePage<string>> {
  const items: string[] = [];
  for await (const { key } of store.list(prefix)) {
    const name = key.slice(prefix.length).replace(/\.json$/, '');
    if (after !== undefined && name <= after) continue;
    if (items.length >= limit) return { items, next: items.at(-1) ?? '' };
    items.push(name);
  }
  return { items };
}

/** Digests that begin so, at most two. */
export async function findDigests(store: LineageStore, start: string): Promise<readonly string[]> {
  const found = new Set<string>();
  const prefix = 'lineage/artifacts/';
  if (start.length === DIGEST_LENGTH) {
    for await (const _ of store.list(`${storeKeys.lineageArtifact(start)}/`)) return [start];
    return [];
  }
  for await (const { key } of store.list(storeKeys.lineageArtifact(start))) {
    found.add(key.slice(prefix.length).split('/')[0] ?? '');
    if (found.size > 1) break;
  }
  return [...found];
}

/** Hex characters of a sha256. */
const DIGEST_LENGTH = 64;

/** Reads a small object; undefined where it is not there, or torn. */
export async function readJson<T>(store: LineageStore, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch {
    return undefined;
  }
}
