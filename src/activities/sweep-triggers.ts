import { findMoves, type TriggerEvents } from '../core/alias-events.js';
import { readMoves } from '../core/alias-moves.js';
import { storeKeys, type ArtifactStore, type TriggerPlace } from '../core/artifact-store.js';
import { digestOfText } from '../core/digest.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import type { RunStatus } from '../core/run.js';
import {
  outcomesOf,
  readAliasSource,
  triggeredParams,
  triggeredRunId,
  triggerKey,
  triggerText,
  type FiredTrigger,
  type TriggerDefinition,
  type TriggerEvent,
  type TriggerMark,
} from '../core/triggers.js';
import type { RegisteredName } from './ports/model-registry.js';
import type { EndedRun } from './ports/run-directory.js';
import type { TriggerDirectory } from './ports/trigger-directory.js';

/** What {@link sweepTriggers} is made of. */
export interface TriggerSweepDeps {
  readonly project: string;
  readonly triggers: TriggerDirectory;
  readonly store: Pick<ArtifactStore, 'readBytes' | 'putBytes'>;
  readonly clock: { readonly nowMs: () => number };
  readonly log: (message: string) => void;
}

/** The server's list of ended runs may lag behind. */
const LAG_MS = 120_000;
/** A mark is written again when it is older than that. */
const MARK_MS = 600_000;

/** One trigger that is looked at. */
interface Look {
  readonly pipeline: string;
  readonly trigger: TriggerDefinition;
  readonly key: string;
  readonly nowMs: number;
}

/**
 * Starts the runs of all triggers for what happened since they were last looked at. A trigger that the last look did not know begins
 * now: nothing that happened before starts anything. Repeating it is safe: an event has a run id of its own, and a record in the store.
 */
export async function sweepTriggers(deps: TriggerSweepDeps, signal: AbortSignal): Promise<void> {
  const pipelines = await deps.triggers.listPipelines();
  // To take that for a project without triggers would let all of them begin anew, and lose what happens until then.
  if (pipelines === undefined) return;
  const looks = pipelines.flatMap((pipeline) => looksOf(pipeline, deps.clock.nowMs()));
  const active = (await readJson<readonly string[]>(deps, storeKeys.activeTriggers(deps.project))) ?? [];
  const wanted = looks.map(({ pipeline, key }) => `${pipeline}/${key}`);
  const done: string[] = [];
  for (const look of looks) {
    const name = `${look.pipeline}/${look.key}`;
    try {
      const mark = active.includes(name)
        ? await readJson<TriggerMark>(deps, storeKeys.triggerMark(placeOf(deps, look)))
        : undefined;
      if (await sweepTrigger(deps, { look, mark }, signal)) done.push(name);
    } catch (error) {
      signal.throwIfAborted();
      if (active.includes(name)) done.push(name);
      deps.log(`could not look ${triggerText(look.trigger)} for ${look.pipeline}: ${String(error)}`);
    }
  }
  if (active.join() === done.join() || (wanted.length === 0 && active.length === 0)) return;
  await deps.store.putBytes(storeKeys.activeTriggers(deps.project), toBytes(done));
}

function placeOf(
  { project }: TriggerSweepDeps,
  { pipeline, key }: Pick<Look, 'pipeline' | 'key'>,
): TriggerPlace {
  return { project, pipeline, key };
}

function looksOf({ name, triggers = [] }: PipelineDefinition, nowMs: number): readonly Look[] {
  return triggers.map((trigger) => ({ pipeline: name, trigger, key: triggerKey(trigger), nowMs }));
}

/** @returns whether it could be looked at. */
async function sweepTrigger(
  deps: TriggerSweepDeps,
  { look, mark }: { readonly look: Look; readonly mark: TriggerMark | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  const { trigger } = look;
  const found =
    'alias' in trigger
      ? await aliasEvents(deps, { look, mark, source: trigger.alias }, signal)
      : await runEvents(deps, { look, mark, trigger });
  if (found === undefined) return false;
  await fireAll(deps, look, found.events);
  if (mark === undefined || isOlder(mark, found.mark))
    await deps.store.putBytes(storeKeys.triggerMark(placeOf(deps, look)), toBytes(found.mark));
  return true;
}

function isOlder(before: TriggerMark, after: TriggerMark): boolean {
  return (
    before.order !== after.order ||
    before.version !== after.version ||
    before.outside !== after.outside ||
    after.sinceMs - before.sinceMs > MARK_MS
  );
}

type Found = TriggerEvents;

async function runEvents(
  deps: TriggerSweepDeps,
  {
    look: { nowMs },
    mark,
    trigger,
  }: {
    readonly look: Look;
    readonly mark: TriggerMark | undefined;
    readonly trigger: Extract<TriggerDefinition, { readonly after: string }>;
  },
): Promise<Found> {
  if (mark === undefined) return { events: [], mark: { activatedAtMs: nowMs, sinceMs: nowMs } };
  const events: TriggerEvent[] = [];
  const wanted: readonly string[] = outcomesOf(trigger);
  for await (const run of deps.triggers.listEnds(trigger.after, mark.sinceMs - LAG_MS)) {
    if (run.endedAtMs <= mark.activatedAtMs) continue;
    const event = await runEvent(deps, run);
    if (wanted.includes(event.state)) events.push(event);
  }
  return { events, mark: { ...mark, sinceMs: nowMs } };
}

/** What the run wrote down of itself says more than the server: whether it was promoted, its result. */
async function runEvent(
  deps: TriggerSweepDeps,
  { runId, executionId, pipeline, state, endedAtMs }: EndedRun,
): Promise<Extract<TriggerEvent, { readonly kind: 'run' }>> {
  const record = await readJson<RunStatus>(deps, storeKeys.run(executionId));
  return {
    ...{ kind: 'run' as const, id: executionId, runId, executionId, pipeline, atMs: endedAtMs },
    state: state === 'completed' && record !== undefined ? record.state : state,
    parameters: record?.parameters ?? {},
    ...(record?.partition === undefined ? {} : { partition: record.partition }),
    ...(record?.result === undefined ? {} : { result: record.result }),
  };
}

async function aliasEvents(
  deps: TriggerSweepDeps,
  {
    look: { nowMs },
    mark,
    source,
  }: { readonly look: Look; readonly mark: TriggerMark | undefined; readonly source: string },
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { model = '', alias = '' } = readAliasSource(source) ?? {};
  const found = await deps.triggers.readModel(model, signal);
  if (found === undefined) return undefined;
  return findMoves({ mark, model, alias, nowMs, ...readAlias(found, alias) });
}

/** What MLflow says of an alias: the moves that are written down, and where it points now. */
function readAlias(found: RegisteredName | null, alias: string) {
  const moves = readMoves(found?.tags ?? {}).get(alias) ?? [];
  return { moves, version: found?.aliases[alias] ?? null };
}

/** One that cannot be started keeps no other from being; it is tried again at the next look. */
async function fireAll(deps: TriggerSweepDeps, look: Look, events: readonly TriggerEvent[]): Promise<void> {
  const failures: unknown[] = [];
  for (const event of events) await fire(deps, look, event).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** The record comes last: what was started without one is started again, which changes nothing. */
async function fire(deps: TriggerSweepDeps, { pipeline, trigger, key, nowMs }: Look, event: TriggerEvent) {
  const { store, triggers, log } = deps;
  const place = placeOf(deps, { pipeline, key });
  const record = storeKeys.triggerFired(place, digestOfText(event.id).slice(0, 32));
  if ((await store.readBytes(record)) !== undefined) return;
  const runId = triggeredRunId(pipeline, key, event);
  await triggers.start({ pipeline, runId, params: triggeredParams(trigger, event), event });
  const fired: FiredTrigger = { event, runId, atMs: nowMs };
  await store.putBytes(record, toBytes(fired));
  log(`started ${runId} ${triggerText(trigger)}`);
}

async function readJson<T>({ store }: TriggerSweepDeps, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as T);
}

function toBytes(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
