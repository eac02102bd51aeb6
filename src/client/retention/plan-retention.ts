import {
  decideGenerations,
  decideRuns,
  isOldPayload,
  type GenerationEnd,
  type RunVerdict,
  type StoredRun,
} from '../../core/retention.js';
import { toPathSegment } from '../../core/run.js';
import { eachOf } from './each-of.js';
import { endingRuns, type EndingRun } from './ending-runs.js';
import { readHolds } from './holds.js';
import type { GcOptions, GcProgress, RetentionDeps } from './retention-deps.js';
import { findOldRecords } from './old-records.js';
import type { KnownRun, OpenRuns } from './run-source.js';
import { requireOwner, requireOwnRuns, requireRegistry } from './store-owner.js';
import {
  lastUses,
  surveyCache,
  surveyRuns,
  surveyUses,
  type SurveyedKey,
  type SurveyedRun,
  type Use,
} from './survey-store.js';

/** A cached result or a closed claim that goes. */
export interface EndingGeneration {
  readonly step: string;
  readonly key: string;
  readonly generation: number;
  readonly why: GenerationEnd;
}

/** What would be removed. */
export interface RetentionPlan {
  readonly runs: readonly EndingRun[];
  readonly generations: readonly EndingGeneration[];
  readonly payloads: readonly { readonly key: string; readonly sizeBytes: number }[];
  /** Keys of uses that protect nothing any more. */
  readonly uses: readonly string[];
  /** Keys of records of schedules, partitions and triggers that nobody needs. */
  readonly records: readonly string[];
  /** Runs that are kept, by reason. */
  readonly kept: { readonly [verdict in RunVerdict]?: number };
  readonly sizeBytes: number;
  /** Texts that were looked for and that an open run mentions. */
  readonly mentioned: readonly string[];
}

/** A plan, with what a sweep needs to carry it out. */
export interface DetailedPlan extends RetentionPlan {
  /** Units of runs that are used by others. */
  readonly referenced: ReadonlySet<string>;
}

/** How a plan is made. */
export interface PlanOptions extends GcOptions {
  /** Texts, such as digests of builds, that are looked for in the histories of open runs. */
  readonly lookFor?: readonly string[];
  /** Whether results count as references although this plan takes them out: they do while they are still there. */
  readonly endingCounts?: boolean;
}

/**
 * Looks at everything and decides. What may go is listed first, and what refers to it is read after it, the cache before the uses.
 * @throws AnnealError ServerUnreachable, StoreUnavailable, InvalidConfig for a store that is not this project's alone.
 */
export async function planRetention(deps: RetentionDeps, options: PlanOptions = {}): Promise<DetailedPlan> {
  const { store, runs: source, policy } = deps;
  const nowMs = deps.clock.nowMs();
  const tell = createTeller(options);
  await requireOwner(deps);
  const usedAtMs = lastUses(await surveyUses(store));
  const surveyed = await surveyRuns(store, tell('runs'));
  requireOwnRuns(deps, surveyed);
  requireRegistry(deps, surveyed);
  const keys = await surveyCache(store, usedAtMs, tell('cache'));
  const open = await source.readOpen(options.lookFor ?? [], tell('histories'));
  const runs = await toStoredRuns(deps, surveyed, open);
  const kept = await readKeptForever(deps, runs);
  const verdicts = decideRuns(runs, { policy, nowMs, kept });
  const generations = endingGenerations(keys, { policy, nowMs });
  const uses = sortUses(await surveyUses(store), {
    ...{ runs, verdicts, open },
    forever: kept.segments,
    sinceMs: nowMs - policy.ageMs,
  });
  const ending = new Set(options.endingCounts === true ? [] : generations.map(generationName));
  const referenced = new Set([
    ...open.units,
    ...uses.honoured.map(({ unit }) => unit),
    ...surveyed.flatMap((run) => (verdicts.get(run.executionId) === 'expired' ? [] : run.references)),
    ...keys.flatMap(({ step, key, generations: all }) =>
      all.flatMap(({ number, references }) =>
        ending.has(generationName({ step, key, generation: number })) ? [] : references,
      ),
    ),
  ]);
  const payloads = await endingPayloads(deps, { nowMs, open, onHistory: tell('histories') });
  const endings = endingRuns(surveyed, {
    runs,
    verdicts,
    referenced,
    checkpointsBeforeMs: nowMs - policy.checkpointsMs,
  });
  const graceMs = nowMs - policy.graceMs;
  return {
    runs: endings,
    generations,
    payloads,
    uses: uses.stale.filter(({ atMs }) => atMs <= graceMs).map(({ key }) => key),
    records: await findOldRecords(store, deps.project, { policy, nowMs }),
    kept: countVerdicts(verdicts),
    sizeBytes: sum([...endings, ...payloads]),
    mentioned: [...open.mentioned],
    referenced,
  };
}

function createTeller({ onProgress, signal }: GcOptions) {
  return (phase: GcProgress['phase'], total?: number) => {
    let done = 0;
    return () => {
      signal?.throwIfAborted();
      onProgress?.({ phase, done: ++done, ...(total === undefined ? {} : { total }) });
    };
  };
}

async function toStoredRuns(
  { runs: source }: RetentionDeps,
  surveyed: readonly SurveyedRun[],
  open: OpenRuns,
): Promise<StoredRun[]> {
  const stored: StoredRun[] = [];
  await eachOf(surveyed, 8, async ({ executionId, newestMs, record }) => {
    const isOpen = open.executionIds.has(executionId);
    const known = record === undefined && !isOpen ? await source.find(executionId) : undefined;
    stored.push({
      executionId,
      newestMs,
      ...identityOf(record, known),
      ...stateOf({ isOpen, record, known, newestMs }),
    });
  });
  return stored;
}

function identityOf(
  record: SurveyedRun['record'],
  known: KnownRun | undefined,
): Pick<StoredRun, 'runId' | 'pipeline' | 'children'> {
  const children = (record?.calls ?? []).flatMap(({ kind, detail }) =>
    kind === 'pipeline' && detail !== undefined ? [detail] : [],
  );
  const named = record ?? known;
  return { children, ...(named && { runId: named.runId, pipeline: named.pipeline }) };
}

function stateOf(of: {
  readonly isOpen: boolean;
  readonly record: SurveyedRun['record'];
  readonly known: KnownRun | undefined;
  readonly newestMs: number;
}): Pick<StoredRun, 'live' | 'endedAtMs'> {
  const { isOpen, record, known, newestMs } = of;
  return {
    live: isOpen || known?.live === true,
    endedAtMs: record?.endedAtMs ?? known?.endedAtMs ?? newestMs,
  };
}

async function readKeptForever({ store, registered }: RetentionDeps, runs: readonly StoredRun[]) {
  const [holds, versions] = await Promise.all([readHolds(store), registered?.() ?? []]);
  const heldRuns = new Set(holds.filter(({ kind }) => kind === 'run').map(({ name }) => toPathSegment(name)));
  const held = new Set([
    ...holds.flatMap(({ executionIds }) => executionIds),
    ...runs.flatMap(({ executionId, runId }) =>
      runId !== undefined && heldRuns.has(toPathSegment(runId)) ? [executionId] : [],
    ),
  ]);
  return {
    held,
    registered: new Set(versions.map(({ executionId }) => executionId)),
    /** Escaped. The store may hold nothing of a run that took all its results from the cache. */
    segments: new Set([...heldRuns, ...versions.map(({ runId }) => toPathSegment(runId))]),
  };
}

function endingGenerations(
  keys: readonly SurveyedKey[],
  now: Parameters<typeof decideGenerations>[1],
): EndingGeneration[] {
  return keys.flatMap(({ step, key, generations }) =>
    [...decideGenerations(generations, now)].map(([generation, why]) => ({ step, key, generation, why })),
  );
}

function generationName({ step, key, generation }: Omit<EndingGeneration, 'why'>): string {
  return `${step}/${key}/${generation}`;
}

/** A use counts while its run is kept or lives, and for as long as a run is kept after its end. */
function sortUses(
  uses: readonly Use[],
  of: {
    readonly runs: readonly StoredRun[];
    readonly verdicts: ReadonlyMap<string, RunVerdict>;
    readonly open: OpenRuns;
    readonly forever: ReadonlySet<string>;
    readonly sinceMs: number;
  },
): { readonly honoured: Use[]; readonly stale: Use[] } {
  const keptRuns = of.runs.flatMap(({ executionId, runId }) =>
    runId === undefined || of.verdicts.get(executionId) === 'expired' ? [] : [runId],
  );
  const segments = new Set([...[...of.open.runIds, ...keptRuns].map(toPathSegment), ...of.forever]);
  const counts = ({ runSegment, atMs }: Use) => atMs > of.sinceMs || segments.has(runSegment);
  return { honoured: uses.filter(counts), stale: uses.filter((use) => !counts(use)) };
}

async function endingPayloads(
  { store, runs: source, policy }: RetentionDeps,
  of: { readonly nowMs: number; readonly open: OpenRuns; readonly onHistory: () => void },
): Promise<RetentionPlan['payloads']> {
  const old: { key: string; sizeBytes: number }[] = [];
  for await (const { key, sizeBytes, modifiedAtMs } of store.list('payloads/'))
    if (isOldPayload({ key, modifiedAtMs }, { policy, nowMs: of.nowMs })) old.push({ key, sizeBytes });
  if (old.length === 0) return [];
  const used = await source.payloadReferences(of.onHistory);
  return old.filter(({ key }) => !used.has(key) && !of.open.units.has(key));
}

function countVerdicts(verdicts: ReadonlyMap<string, RunVerdict>): RetentionPlan['kept'] {
  const counts: { [verdict in RunVerdict]?: number } = {};
  for (const verdict of verdicts.values())
    if (verdict !== 'expired') counts[verdict] = (counts[verdict] ?? 0) + 1;
  return counts;
}

function sum(amounts: readonly { readonly sizeBytes: number }[]): number {
  return amounts.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}
