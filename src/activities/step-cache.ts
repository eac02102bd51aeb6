import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import type { AttemptSucceeded } from '../core/attempt.js';
import { cacheParts } from '../core/cache.js';
import {
  KEPT_GENERATIONS,
  type CacheAnswer,
  type CacheEntry,
  type CacheHit,
  type CacheQuery,
  type CacheSlot,
  type Claim,
  type ClaimHolder,
  type Generation,
} from '../core/claims.js';
import { toPathSegment } from '../core/run.js';
import { createCacheObjects, type CacheObjects, type KeyedStep } from './cache-objects.js';
import { sealOutputs, verifyOutputs } from './cache-verify.js';
import type { Clock } from './ports/activity-context.js';

/** Who asks, beside the question itself. */
export interface CacheAsker {
  readonly runId: string;
  readonly epoch: string;
}

/** A finished step, and the run that made it. */
export interface CachedAttempt {
  readonly outcome: AttemptSucceeded;
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  /** Experiment of the run, where it is tracked. */
  readonly experimentId?: string;
}

/** Results of steps that later calls may reuse, and who makes those that are missing. */
export interface StepCache {
  /**
   * One look: a result of the key that is young enough and whole; else the claim to make it, unless a call that lives holds that. With
   * `force` a live claim is passed by (`maxWait` is over).
   * @throws AnnealError StoreUnavailable
   */
  ask(query: CacheQuery, asker: CacheAsker, options?: { readonly force?: boolean }): Promise<CacheAnswer>;
  /** Adds a result under the generation that was claimed for it. Its bytes are safe. */
  store(slot: CacheSlot & { readonly step: string }, made: CachedAttempt): Promise<void>;
  /** Says that a claim will give no result. */
  close(slot: CacheSlot & { readonly step: string }, reason: string): Promise<void>;
}

/** What {@link createStepCache} is made of. */
export interface StepCacheDeps {
  readonly store: ArtifactStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Whether the call that holds a claim has an activity or workflow task pending. Where that cannot be told, it is taken to live. */
  readonly isLive: (holder: ClaimHolder) => Promise<boolean>;
  /** Digest of each code file of a step. */
  readonly codeFilesOf?: (step: string) => { readonly [name: string]: string } | undefined;
  readonly log?: (message: string) => void;
}

/** A cache of steps in the artifact store. */
export function createStepCache(deps: StepCacheDeps): StepCache {
  const objects = createCacheObjects(deps.store);
  return {
    ask: async (query, asker, { force = false } = {}) => {
      for (;;) {
        const answer = await look({ ...deps, objects }, { ...query, ...asker, force });
        if (answer) return answer;
      }
    },
    store: async ({ step, key, generation }, made) => {
      const { outcome, runId, executionId, pipeline, experimentId } = made;
      const { attemptName, startedAtMs, outputs, parameters, trackingRunId } = outcome;
      const entry: CacheEntry = {
        ...{ step, key, generation, runId, executionId, pipeline, attemptName, startedAtMs },
        ...(experimentId === undefined || trackingRunId === undefined
          ? {}
          : { tracking: { experimentId, runId: trackingRunId } }),
        storedAtMs: deps.clock.nowMs(),
        seals: await sealOutputs(deps.store, outputs),
        outputs,
        parameters,
      };
      await objects.write({ step, key, generation }, 'entry', entry);
    },
    close: async ({ step, key, generation }, reason) => {
      const closed = { reason, atMs: deps.clock.nowMs() };
      await objects.write({ step, key, generation }, 'closed', closed);
    },
  };
}

type LookDeps = StepCacheDeps & { readonly objects: CacheObjects };
type Look = CacheQuery & CacheAsker & { readonly force: boolean };

/** One look at the state of a key; `undefined`: it changed meanwhile, look again. */
async function look(deps: LookDeps, asked: Look): Promise<CacheAnswer | undefined> {
  const of: KeyedStep = { step: asked.material.step, key: asked.key };
  const generations = await deps.objects.generations(of);
  const found = await findResult(deps, asked, { of, generations });
  if (found === 'changed') return undefined;
  if (typeof found === 'object') return found;
  const top = generations.at(-1);
  let passedOver = found ?? (top?.closed === true ? await whyClosed(deps, of, top.number) : undefined);
  if (top && isOpen(top)) {
    const claim = await deps.objects.readClaim(of, top.number);
    if (claim && isOwn(claim, asked)) return { kind: 'claimed', generation: top.number };
    const verdict = await judge(deps, asked, claim);
    if (verdict === 'wait') return { kind: 'busy', generation: top.number, runId: claim?.runId ?? '' };
    // Its result, or another claim, may have come while Temporal was asked: both come before its activity ends.
    if (hasChanged(generations, await deps.objects.generations(of))) return undefined;
    passedOver ??= verdict.passedOver;
  }
  const generation = (top?.number ?? 0) + 1;
  const claim = toClaim(deps, asked, passedOver);
  if (!(await deps.objects.write({ ...of, generation }, 'claim', claim))) return undefined;
  await forgetOld(deps, of, generations);
  return { kind: 'claimed', generation };
}

async function whyClosed(deps: LookDeps, of: KeyedStep, generation: number): Promise<string | undefined> {
  return (await deps.objects.readClosed(of, generation))?.reason;
}

function isOpen({ claim, entry, closed }: Generation): boolean {
  return claim && !entry && !closed;
}

/** A retry of the look-up, by Temporal, finds the claim that it made before. */
function isOwn(claim: ClaimHolder, { runId, epoch, callId, attempt }: ClaimHolder): boolean {
  return (
    claim.runId === runId && claim.epoch === epoch && claim.callId === callId && claim.attempt === attempt
  );
}

/** Whether an open claim is waited for; else why it is passed over. */
async function judge(
  deps: LookDeps,
  asked: Look,
  claim: Claim | undefined,
): Promise<'wait' | { readonly passedOver: string }> {
  if (!claim) return { passedOver: 'its claim could not be read' };
  if (asked.force) return { passedOver: `run ${claim.runId} took longer than maxWait` };
  if (claim.claimedAtMs < (asked.sinceMs ?? -Infinity))
    return { passedOver: `run ${claim.runId} began before the run that refreshes` };
  const { runId, epoch, callId, attempt } = asked;
  // An earlier attempt of this very call has ended, or this one would not ask.
  const isEarlier = isOwn({ ...claim, attempt }, { runId, epoch, callId, attempt });
  if (!isEarlier && (await deps.isLive(claim).catch(() => true))) return 'wait';
  return { passedOver: `run ${claim.runId} ended before it had a result` };
}

function hasChanged(before: readonly Generation[], now: readonly Generation[]): boolean {
  return JSON.stringify(before.slice(-KEPT_GENERATIONS)) !== JSON.stringify(now.slice(-KEPT_GENERATIONS));
}

/** The newest whole result that the asker may use, or why the newest one is none, or nothing. One that is broken is closed. */
async function findResult(
  deps: LookDeps,
  asked: Look,
  { of, generations }: { readonly of: KeyedStep; readonly generations: readonly Generation[] },
): Promise<CacheHit | string | 'changed' | undefined> {
  const newest = generations.findLast(({ entry, closed }) => entry && !closed);
  if (!newest) return undefined;
  const { number: generation } = newest;
  const entry = await deps.objects.readEntry(of, generation);
  if (entry) {
    const { storedAtMs, startedAtMs, runId, executionId, attemptName, tracking, outputs, parameters } = entry;
    if (startedAtMs < (asked.sinceMs ?? -Infinity)) return 'the run was told to refresh it';
    if (asked.ttlMs !== undefined && !(storedAtMs >= deps.clock.nowMs() - asked.ttlMs))
      return `the result of run ${runId} was older than its ttl`;
    const problem = await verifyOutputs(deps.store, entry, asked.verify === 'full' ? 'full' : 'size');
    const origin = { runId, executionId, attemptName, ...(tracking && { tracking }) };
    const hit: CacheHit = { kind: 'hit', generation, ...origin, outputs, parameters };
    if (problem === undefined) return (await takeIntoUse(deps, asked, { of, hit })) ? hit : 'changed';
    await closeBroken(deps, { ...of, generation }, `the result of run ${runId} is broken: ${problem}`);
  } else await closeBroken(deps, { ...of, generation }, 'its entry could not be read');
  return 'changed';
}

/**
 * Writes down that the run uses the attempt's bytes, then looks whether the result still counts. `anneal gc` does the reverse: it takes
 * the result out, then looks for uses, and removes bytes last. So one of the two sees the other, whoever is slow.
 * @returns whether the result may be used.
 */
async function takeIntoUse(
  { store, objects }: LookDeps,
  { runId, epoch }: Look,
  { of, hit }: { readonly of: KeyedStep; readonly hit: CacheHit },
): Promise<boolean> {
  const { executionId, attemptName, generation } = hit;
  const use = storeKeys.use({ executionId, attemptName, runSegment: toPathSegment(runId), epoch });
  await store.putBytes(use, new TextEncoder().encode(JSON.stringify({ runId, epoch })), {
    ifAbsent: true,
    remakeable: true,
  });
  const [entry, closed] = await Promise.all([
    objects.readEntry(of, generation),
    objects.isClosed(of, generation),
  ]);
  return !closed && entry?.executionId === executionId && entry.attemptName === attemptName;
}

/** The next one to ask makes it again, under a generation of its own. */
async function closeBroken(
  deps: LookDeps,
  of: KeyedStep & { readonly generation: number },
  reason: string,
): Promise<void> {
  deps.log?.(`A cached result of step "${of.step}" is not used and will be made again: ${reason}.`);
  await deps.objects.write(of, 'closed', { reason, atMs: deps.clock.nowMs() });
}

function toClaim(deps: LookDeps, asked: Look, passedOver: string | undefined): Claim {
  const { runId, epoch, callId, attempt, pipeline, key, material } = asked;
  const parts = cacheParts(material, deps.codeFilesOf?.(material.step));
  return {
    ...{ runId, epoch, callId, attempt, pipeline, key, parts },
    step: material.step,
    claimedAtMs: deps.clock.nowMs(),
    ...(passedOver === undefined ? {} : { passedOver }),
  };
}

/** A key that fails again and again must not grow without end. */
async function forgetOld(deps: LookDeps, of: KeyedStep, generations: readonly Generation[]): Promise<void> {
  const result = generations.findLast(({ entry, closed }) => entry && !closed);
  for (const { number } of generations.slice(0, -KEPT_GENERATIONS))
    if (number !== result?.number) await deps.objects.remove(of, number);
}
