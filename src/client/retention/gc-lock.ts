import type { ArtifactStore } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import { readJson } from './survey-store.js';

/** What `anneal gc` keeps for itself in the store. */
export const GC_KEYS = {
  /** Whose store it is. */
  owner: 'gc/owner.json',
  /** The run that is being removed. */
  removing: 'gc/removing.json',
  lock: (number: number) => `gc/lock/${String(number).padStart(6, '0')}.json`,
} as const;

/** Who works. */
export interface GcHolder {
  readonly host: string;
  readonly process: number;
}

/** The part of a store that a lock needs. */
export type LockStore = Pick<ArtifactStore, 'putBytes' | 'readBytes' | 'list' | 'remove'>;

/** Renewed this often, and given up when it was not for so long. */
const RENEW_MS = 30_000;
const STALE_MS = 10 * 60_000;

/** What {@link withGcLock} stands on. */
export interface GcLockDeps {
  readonly store: LockStore;
  readonly clock: { nowMs(): number };
  readonly holder: GcHolder;
}

/**
 * Does the work while no other `anneal gc` of the store works. The lock spares confusion only: two at once would each be safe.
 * A lock that was not renewed for 10 minutes is taken over by the next number, which one writer gets.
 * @throws AnnealError InvalidInput where another one works.
 */
export async function withGcLock<T>(deps: GcLockDeps, work: () => Promise<T>): Promise<T> {
  const key = await takeLock(deps);
  const renew = setInterval(() => void write(deps, key, false).catch(() => undefined), RENEW_MS);
  try {
    return await work();
  } finally {
    clearInterval(renew);
    await deps.store.remove([key]);
  }
}

async function takeLock(deps: GcLockDeps): Promise<string> {
  const { store, clock } = deps;
  const taken: string[] = [];
  for await (const { key } of store.list('gc/lock/')) taken.push(key);
  const last = taken.at(-1);
  if (last !== undefined) {
    const bytes = await store.readBytes(last);
    const held = bytes && readJson<GcHolder & { readonly atMs: number }>(new TextDecoder().decode(bytes));
    if (held && held.atMs > clock.nowMs() - STALE_MS) throw busy(held);
  }
  const number = Number(/(\d+)\.json$/.exec(last ?? '')?.[1] ?? 0) + 1;
  const key = GC_KEYS.lock(number);
  if (!(await write(deps, key, true))) throw busy();
  await store.remove(taken);
  return key;
}

async function write({ store, clock, holder }: GcLockDeps, key: string, ifAbsent: boolean): Promise<boolean> {
  const bytes = new TextEncoder().encode(JSON.stringify({ ...holder, atMs: clock.nowMs() }));
  return (await store.putBytes(key, bytes, { ifAbsent, remakeable: true })) === 'stored';
}

function busy(held?: GcHolder): AnnealError {
  const where = held === undefined ? '' : ` on ${held.host} (process ${held.process})`;
  return new AnnealError(
    'InvalidInput',
    `Another "anneal gc"${where} works on this store. Wait until it has ended; one that was killed counts no more after 10 minutes.`,
  );
}
