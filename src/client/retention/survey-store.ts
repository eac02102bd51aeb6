import { storeKeys, type ArtifactStore, type StoredObject } from '../../core/artifact-store.js';
import { readGenerations, type CacheEntry } from '../../core/claims.js';
import { referencesIn, unitOf, type AgedGeneration } from '../../core/retention.js';
import type { RunStatus } from '../../core/run.js';
import { eachOf } from './each-of.js';

/** The part of a store that is looked at. */
export type SurveyedStore = Pick<ArtifactStore, 'list' | 'readBytes' | 'stat'>;

/** How much of something there is, and when its newest object was written. */
export interface Amount {
  readonly sizeBytes: number;
  readonly objects: number;
  readonly newestMs: number;
}

/** What the store holds of a run. */
export interface SurveyedRun extends Amount {
  readonly executionId: string;
  /** By unit (see `unitOf`). */
  readonly units: ReadonlyMap<string, Amount>;
  readonly record?: Pick<RunStatus, 'runId' | 'pipeline' | 'project' | 'endedAtMs' | 'calls' | 'tracking'>;
  /** Units of other runs that the record names. */
  readonly references: readonly string[];
}

const NOTHING: Amount = { sizeBytes: 0, objects: 0, newestMs: 0 };
const READ_AT_ONCE = 16;

/** All runs of which the store holds something. */
export async function surveyRuns(store: SurveyedStore, onRun?: () => void): Promise<SurveyedRun[]> {
  const runs: SurveyedRun[] = [];
  await eachOf(listRuns(store), READ_AT_ONCE, async (run) => {
    const text = await readText(store, storeKeys.run(run.executionId));
    const record = text === undefined ? undefined : readRecord(text);
    runs.push({
      ...run,
      ...(record && { record }),
      references: text === undefined ? [] : referencesIn(text),
    });
    onRun?.();
  });
  return runs;
}

type ListedRun = Omit<SurveyedRun, 'record' | 'references'>;

/** In one pass: the objects of a run follow each other. */
async function* listRuns(store: SurveyedStore): AsyncGenerator<ListedRun> {
  let run: { executionId: string; total: Amount; units: Map<string, Amount> } | undefined;
  const finished = ({ executionId, total, units }: NonNullable<typeof run>): ListedRun => ({
    ...{ executionId, units },
    ...total,
  });
  for await (const object of store.list('runs/')) {
    const [, executionId = ''] = object.key.split('/');
    if (run?.executionId !== executionId) {
      if (run) yield finished(run);
      run = { executionId, total: NOTHING, units: new Map() };
    }
    const unit = unitOf(object.key);
    run.total = plus(run.total, object);
    run.units.set(unit, plus(run.units.get(unit) ?? NOTHING, object));
  }
  if (run) yield finished(run);
}

function plus(amount: Amount, { sizeBytes, modifiedAtMs }: StoredObject): Amount {
  return {
    sizeBytes: amount.sizeBytes + sizeBytes,
    objects: amount.objects + 1,
    newestMs: Math.max(amount.newestMs, modifiedAtMs),
  };
}

function readRecord(text: string): SurveyedRun['record'] {
  const value = readJson<RunStatus>(text);
  return typeof value?.runId === 'string' && Array.isArray(value.calls) ? value : undefined;
}

/** A generation of a cache key. */
export interface SurveyedGeneration extends AgedGeneration {
  /** The attempt that made its result, as a unit. */
  readonly attempt?: string;
  readonly references: readonly string[];
}

/** A cache key with its generations, oldest first. */
export interface SurveyedKey {
  readonly step: string;
  readonly key: string;
  readonly generations: readonly SurveyedGeneration[];
}

/** All that the cache holds. */
export async function surveyCache(
  store: SurveyedStore,
  usedAtMs: ReadonlyMap<string, number>,
  onKey?: () => void,
): Promise<SurveyedKey[]> {
  const keys: SurveyedKey[] = [];
  await eachOf(listCacheKeys(store), READ_AT_ONCE, async ({ step, key, objects }) => {
    keys.push({ step, key, generations: await readKey(store, { step, key, objects, usedAtMs }) });
    onKey?.();
  });
  return keys;
}

interface ListedKey {
  readonly step: string;
  readonly key: string;
  readonly objects: StoredObject[];
}

async function* listCacheKeys(store: SurveyedStore): AsyncGenerator<ListedKey> {
  let found: ListedKey | undefined;
  for await (const object of store.list('cache/')) {
    const [, step = '', key = ''] = object.key.split('/');
    if (found?.step !== step || found.key !== key) {
      if (found) yield found;
      found = { step, key, objects: [] };
    }
    found.objects.push(object);
  }
  if (found) yield found;
}

/** The generations of one key as they are now. */
export async function readKey(
  store: SurveyedStore,
  of: ListedKey & { readonly usedAtMs: ReadonlyMap<string, number> },
): Promise<SurveyedGeneration[]> {
  const { step, key, objects, usedAtMs } = of;
  const surveyed: SurveyedGeneration[] = [];
  for (const generation of readGenerations(objects.map((object) => object.key))) {
    const prefix = storeKeys.cacheGeneration({ step, key, generation: generation.number });
    const own = objects.filter((object) => object.key.startsWith(prefix));
    const aged = { ...generation, newestMs: Math.max(...own.map(({ modifiedAtMs }) => modifiedAtMs)) };
    const text =
      generation.entry && !generation.closed ? await readText(store, `${prefix}entry.json`) : undefined;
    if (text === undefined) surveyed.push({ ...aged, references: [] });
    else surveyed.push({ ...aged, ...(await readEntry(store, text, usedAtMs)) });
  }
  return surveyed;
}

async function readEntry(
  store: SurveyedStore,
  text: string,
  usedAtMs: ReadonlyMap<string, number>,
): Promise<Pick<SurveyedGeneration, 'attempt' | 'references' | 'broken' | 'usedAtMs'>> {
  const entry = readJson<CacheEntry>(text);
  const references = referencesIn(text);
  if (typeof entry?.executionId !== 'string' || typeof entry.attemptName !== 'string')
    return { references, broken: true };
  const { executionId, attemptName } = entry;
  const attempt = unitOf(storeKeys.attempt(executionId, attemptName));
  const lastMs = usedAtMs.get(attempt);
  const manifest = await store.stat(storeKeys.manifest(executionId, attemptName));
  return {
    attempt,
    references: [...references, attempt],
    ...(manifest === undefined && { broken: true }),
    ...(lastMs === undefined ? {} : { usedAtMs: lastMs }),
  };
}

/** A run took an attempt's result from the cache. */
export interface Use {
  readonly key: string;
  /** The attempt. */
  readonly unit: string;
  /** The run that took it, escaped. */
  readonly runSegment: string;
  readonly atMs: number;
}

/** The uses of attempts, of all or of one (a unit). */
export async function surveyUses(store: SurveyedStore, unit?: string): Promise<Use[]> {
  const uses: Use[] = [];
  const of = unit === undefined ? [] : unit.split('/');
  for await (const { key, modifiedAtMs } of store.list(
    unit === undefined ? 'uses/' : `uses/${of[1] ?? ''}/${of[3] ?? ''}/`,
  )) {
    const [, executionId = '', attemptName = '', name = ''] = key.split('/');
    uses.push({
      key,
      unit: unitOf(storeKeys.attempt(executionId, attemptName)),
      runSegment: name.slice(0, name.indexOf('.')),
      atMs: modifiedAtMs,
    });
  }
  return uses;
}

/** When each attempt was last used. */
export function lastUses(uses: readonly Use[]): Map<string, number> {
  const last = new Map<string, number>();
  for (const { unit, atMs } of uses) last.set(unit, Math.max(atMs, last.get(unit) ?? 0));
  return last;
}

async function readText(store: SurveyedStore, key: string): Promise<string | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** What cannot be read as JSON (torn by a power failure) is undefined. */
export function readJson<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
