import type { AttemptSucceeded } from './attempt.js';
import type { CacheMaterial, CacheParts } from './cache.js';

/**
 * What the store holds of a cache key: `cache/<step>/<key>/<generation>/` with up to three objects, each written once. `claim.json`: who
 * makes the result. `entry.json`: the result, after its bytes are safe. `closed.json`: the generation counts no more (its attempt
 * failed, or its files are gone). The highest generation decides who may make the result; the highest whole entry is the result.
 */
export const CACHE_OBJECTS = ['claim', 'entry', 'closed'] as const;
export type CacheObject = (typeof CACHE_OBJECTS)[number];

/** The call of a step that holds a claim, for one of its attempts. */
export interface ClaimHolder {
  /** Workflow id. */
  readonly runId: string;
  /** Run id of the workflow execution that asks. */
  readonly epoch: string;
  readonly callId: string;
  readonly attempt: number;
}

/** Content of `claim.json`. It also says what the key was made of, and why there was no hit. */
export interface Claim extends ClaimHolder {
  readonly pipeline: string;
  readonly step: string;
  readonly key: string;
  readonly claimedAtMs: number;
  readonly parts: CacheParts;
  /** Why an earlier result of the same key was not used; absent where there was none. */
  readonly passedOver?: string;
}

/** Content of `closed.json`. */
export interface Closed {
  readonly reason: string;
  readonly atMs: number;
}

/** Content of `entry.json`: a finished step that later calls with the same key may reuse. */
export interface CacheEntry {
  readonly key: string;
  readonly step: string;
  readonly generation: number;
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  readonly attemptName: string;
  /** MLflow's run of the step that made it. */
  readonly tracking?: { readonly experimentId: string; readonly runId: string };
  /** When its attempt began. */
  readonly startedAtMs: number;
  readonly storedAtMs: number;
  readonly outputs: AttemptSucceeded['outputs'];
  /** Of outputs for whose objects the store keeps ETags, a digest of these. */
  readonly seals: { readonly [output: string]: string };
  readonly parameters: AttemptSucceeded['parameters'];
}

/** Where the result of an attempt goes: the generation that was claimed for it. */
export interface CacheSlot {
  readonly key: string;
  readonly generation: number;
}

/** A step call's question to the cache, before one of its attempts. */
export interface CacheQuery {
  readonly key: string;
  readonly material: CacheMaterial;
  readonly pipeline: string;
  readonly callId: string;
  readonly attempt: number;
  readonly ttlMs?: number;
  /** Only results of attempts that began at this time or later (`--refresh`). */
  readonly sinceMs?: number;
  /** Read the files of a hit, instead of only looking for them. */
  readonly verify?: 'full';
}

/** What the cache says: a result; or that the call may make it; or that another call is making it. */
export type CacheAnswer =
  | CacheHit
  | { readonly kind: 'claimed'; readonly generation: number }
  | { readonly kind: 'busy'; readonly generation: number; readonly runId: string };

/** A result that may be reused, and where it came from. */
export interface CacheHit extends Pick<
  CacheEntry,
  'generation' | 'runId' | 'executionId' | 'attemptName' | 'tracking' | 'outputs' | 'parameters'
> {
  readonly kind: 'hit';
}

/** One generation of a key, as its objects say. */
export interface Generation {
  readonly number: number;
  readonly claim: boolean;
  readonly entry: boolean;
  readonly closed: boolean;
}

/** The generations of a key, oldest first, from the keys of its objects. */
export function readGenerations(keys: Iterable<string>): Generation[] {
  const found = new Map<number, Generation>();
  for (const key of keys) {
    const match = /\/(\d{6,})\/(claim|entry|closed)\.json$/.exec(key);
    const [, digits, object] = match ?? [];
    if (digits === undefined || object === undefined) continue;
    const number = Number(digits);
    const before = found.get(number) ?? { number, claim: false, entry: false, closed: false };
    found.set(number, { ...before, [object]: true });
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}

/** Generations of a key that are kept; older ones are removed when a new one is claimed. */
export const KEPT_GENERATIONS = 5;

/** What an activity of a claim's holder does. While one of them is pending, the claim is live. */
export type ClaimRole = 'look-up' | 'wait' | 'attempt';

/** Id of an activity of a step call that may hold a claim, so that others can ask Temporal for it. */
export function claimActivityId(
  { callId, attempt }: Pick<ClaimHolder, 'callId' | 'attempt'>,
  role: ClaimRole,
): string {
  return `${callId}.${attempt}.${role}`;
}

/** Whether an activity belongs to the attempt that holds a claim. */
export function isActivityOf({ callId, attempt }: ClaimHolder, activityId: string): boolean {
  return activityId.startsWith(`${callId}.${attempt}.`);
}
