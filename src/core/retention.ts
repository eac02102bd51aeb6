import type { Generation } from './claims.js';
import { parseDuration } from './duration.js';

/** What `anneal gc` keeps, beside what is used, held or registered. */
export interface RetentionPolicy {
  /** Runs that ended less than this ago are kept. */
  readonly ageMs: number;
  /** So many of each pipeline's newest runs are kept, however old they are. */
  readonly keepLast: number;
  /** Cached results that were neither made nor used for this long are taken out of the cache. */
  readonly cacheMs: number;
  /** Checkpoints of runs that are kept go this long after the run's end. */
  readonly checkpointsMs: number;
  /** Nothing that was written less than this ago is touched. */
  readonly graceMs: number;
}

/** {@link RetentionPolicy} as anneal.yaml has it; what is absent has its default. */
export interface RetentionSettings {
  readonly age?: string | undefined;
  readonly keepLast?: number | undefined;
  readonly cache?: string | undefined;
  readonly checkpoints?: string | undefined;
  readonly grace?: string | undefined;
}

/** Shortest grace: longer than any request to the store or to Temporal is on its way. */
export const SHORTEST_GRACE = '1h';

/** The policy of a project. @throws TypeError for what is no duration. */
export function readRetention(settings: RetentionSettings = {}): RetentionPolicy {
  return {
    ageMs: parseDuration(settings.age ?? '90d'),
    keepLast: settings.keepLast ?? 10,
    cacheMs: parseDuration(settings.cache ?? '30d'),
    checkpointsMs: parseDuration(settings.checkpoints ?? '7d'),
    graceMs: parseDuration(settings.grace ?? '24h'),
  };
}

/** A run of which the store holds something. */
export interface StoredRun {
  readonly executionId: string;
  /** Known from its record or from Temporal. */
  readonly runId?: string;
  readonly pipeline?: string;
  readonly live: boolean;
  /** Of a run that left no record and that Temporal does not know: when its newest object was written. */
  readonly endedAtMs: number;
  readonly newestMs: number;
  /** Run ids of its sub-pipelines. */
  readonly children: readonly string[];
}

/** Whose runs are kept however old they are. */
export interface KeptForever {
  readonly held: ReadonlySet<string>;
  readonly registered: ReadonlySet<string>;
}

/** Why a run is kept, or that it is not. */
export type RunVerdict = 'live' | 'held' | 'registered' | 'recent' | 'newest' | 'part' | 'expired';

/** Decides about every run, by execution id. A sub-pipeline's run is kept as long as that of its parent (`part`). */
export function decideRuns(
  runs: readonly StoredRun[],
  {
    policy,
    nowMs,
    kept,
  }: { readonly policy: RetentionPolicy; readonly nowMs: number; readonly kept: KeptForever },
): Map<string, RunVerdict> {
  const newest = newestOfPipelines(runs, policy.keepLast);
  const verdicts = new Map<string, RunVerdict>();
  for (const run of runs) {
    const { executionId, live, endedAtMs, newestMs } = run;
    if (live) verdicts.set(executionId, 'live');
    else if (kept.held.has(executionId)) verdicts.set(executionId, 'held');
    else if (kept.registered.has(executionId)) verdicts.set(executionId, 'registered');
    else if (endedAtMs > nowMs - policy.ageMs || newestMs > nowMs - policy.graceMs)
      verdicts.set(executionId, 'recent');
    else verdicts.set(executionId, newest.has(executionId) ? 'newest' : 'expired');
  }
  return keepParts(runs, verdicts);
}

function newestOfPipelines(runs: readonly StoredRun[], keepLast: number): Set<string> {
  const byPipeline = new Map<string, StoredRun[]>();
  for (const run of runs) {
    if (run.pipeline === undefined || run.live) continue;
    const others = byPipeline.get(run.pipeline);
    if (others) others.push(run);
    else byPipeline.set(run.pipeline, [run]);
  }
  const newest = new Set<string>();
  for (const ofPipeline of byPipeline.values()) {
    ofPipeline.sort((a, b) => b.endedAtMs - a.endedAtMs);
    for (const { executionId } of ofPipeline.slice(0, keepLast)) newest.add(executionId);
  }
  return newest;
}

function keepParts(runs: readonly StoredRun[], verdicts: Map<string, RunVerdict>): Map<string, RunVerdict> {
  const byRunId = new Map<string, StoredRun[]>();
  for (const run of runs)
    if (run.runId !== undefined) byRunId.set(run.runId, [...(byRunId.get(run.runId) ?? []), run]);
  const waiting = runs.filter(({ executionId }) => verdicts.get(executionId) !== 'expired');
  for (let parent = waiting.pop(); parent; parent = waiting.pop())
    for (const child of parent.children.flatMap((runId) => byRunId.get(runId) ?? []))
      if (verdicts.get(child.executionId) === 'expired') {
        verdicts.set(child.executionId, 'part');
        waiting.push(child);
      }
  return verdicts;
}

/** A generation of a cache key, and when it was last of use. */
export interface AgedGeneration extends Generation {
  /** When its newest object was written. */
  readonly newestMs: number;
  /** When its result was last taken by a run; absent: never. */
  readonly usedAtMs?: number;
  /** Its entry cannot be read, or the attempt that it names has no manifest. */
  readonly broken?: boolean;
}

/** Why a generation is taken out of the cache. */
export type GenerationEnd = 'closed' | 'replaced' | 'expired' | 'broken';

/** The generations of one key, oldest first, that go. An open claim never does: somebody may be making its result, and others wait. */
export function decideGenerations(
  generations: readonly AgedGeneration[],
  { policy, nowMs }: { readonly policy: RetentionPolicy; readonly nowMs: number },
): Map<number, GenerationEnd> {
  const result = generations.findLast(({ entry, closed }) => entry && !closed)?.number;
  const ends = new Map<number, GenerationEnd>();
  for (const { number, entry, closed, newestMs, usedAtMs = newestMs, broken } of generations) {
    if (newestMs > nowMs - policy.graceMs) continue;
    if (closed) ends.set(number, 'closed');
    else if (!entry) continue;
    else if (broken === true) ends.set(number, 'broken');
    else if (number !== result) ends.set(number, 'replaced');
    else if (Math.max(newestMs, usedAtMs) <= nowMs - policy.cacheMs) ends.set(number, 'expired');
  }
  return ends;
}

/** The UTC day of a time, as `2026-11-23`. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/**
 * Whether a large payload is so old that whoever stored it has long written into a history that it did. Payloads are stored again on each
 * day, so nobody takes up an old one.
 */
export function isOldPayload(
  { key, modifiedAtMs }: { readonly key: string; readonly modifiedAtMs: number },
  { policy, nowMs }: { readonly policy: RetentionPolicy; readonly nowMs: number },
): boolean {
  const day = /^payloads\/(\d{4}-\d{2}-\d{2})\//.exec(key)?.[1];
  const lastUseMs = day === undefined ? modifiedAtMs : Math.max(modifiedAtMs, Date.parse(day) + DAY_MS);
  return lastUseMs <= nowMs - policy.graceMs;
}

const DAY_MS = 86_400_000;

/** What a text (a history, a record, a cache entry) names in the store: attempts and listings of datasets of runs, and large payloads. */
export function referencesIn(text: string): string[] {
  return [...text.matchAll(REFERENCE)].map(([reference]) => reference);
}

const REFERENCE =
  /runs\/[^/"'\\\s<>]+\/(?:attempts|datasets)\/[^/"'\\\s<>]+|payloads\/(?:\d{4}-\d{2}-\d{2}\/)?[0-9a-f]{64}/g;

/** The part of a run that goes or stays as one: an attempt, a listing of a dataset, all checkpoints, all messages, the record. */
export function unitOf(key: string): string {
  const parts = key.split('/');
  const [, , kind] = parts;
  return parts.slice(0, kind === 'attempts' || kind === 'datasets' ? 4 : 3).join('/');
}

/**
 * The units of an expired run that go. Where one of them is used by others it stays, and the run's record with it, which says where it
 * comes from.
 */
export function endingUnits(
  executionId: string,
  units: Iterable<string>,
  referenced: ReadonlySet<string>,
): Set<string> {
  const ending = new Set(units);
  const all = ending.size;
  for (const unit of ending) if (referenced.has(unit)) ending.delete(unit);
  if (ending.size < all) ending.delete(`runs/${executionId}/run.json`);
  return ending;
}
