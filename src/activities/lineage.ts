import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { AttemptRequest, AttemptSucceeded } from '../core/attempt.js';
import { digestOfText } from '../core/digest.js';
import { buildLineageStep, type LineageReuse, type LineageStep } from '../core/lineage.js';
import { toPathSegment, type RunStatus } from '../core/run.js';
import type { ReadCode } from './ports/code.js';
import { quietlyWithin } from './quietly-within.js';

/** What {@link createLineageWriter} is made of. */
export interface LineageDeps {
  readonly store: Pick<ArtifactStore, 'putBytes'>;
  readonly readCode: ReadCode;
  /** Takes a sentence for the worker's log. */
  readonly log?: (message: string) => void;
}

/** An attempt that succeeded. */
export interface LineageAttempt {
  readonly request: AttemptRequest;
  readonly runId: string;
  readonly outcome: AttemptSucceeded;
}

/** Writes down where artifacts come from, so that it can be asked in both directions without looking through runs. */
export interface LineageWriter {
  /** Repeating it changes nothing. The attempt has ended: a store that does not take the record is only logged. */
  recordStep(attempt: LineageAttempt): Promise<void>;
}

/** Time that an attempt which has ended waits for the store to take its record. */
const PATIENCE_MS = 10_000;

/** Makes {@link LineageWriter}. */
export function createLineageWriter(deps: LineageDeps): LineageWriter {
  const known = createMemory(RUNS_REMEMBERED);
  return {
    recordStep: async (attempt) => {
      const { inputs } = attempt.request;
      const { attemptName, outputs } = attempt.outcome;
      if (Object.keys(inputs).length + Object.keys(outputs).length === 0) return;
      const failure = await quietlyWithin(PATIENCE_MS, () => recordStep(deps, attempt, known));
      if (failure !== undefined)
        deps.log?.(
          `Where the outputs of attempt ${attemptName} come from was not recorded: ${String(failure)}`,
        );
    },
  };
}

/** Runs whose pointer this worker has written. */
const RUNS_REMEMBERED = 1_000;

/**
 * The record of a step that made a model goes to the disk, others may be lost by a power failure within seconds: a flush takes longer than
 * all the rest, and the step waits for it. A pointer may be there a moment before its record.
 */
async function recordStep(
  { store, readCode }: LineageDeps,
  attempt: LineageAttempt,
  known: Memory,
): Promise<void> {
  const { build, step } = attempt.request;
  const { origin, pythonDigest } = await readCode({ build, step });
  const record = buildLineageStep({
    ...attempt,
    ...(origin && { code: origin }),
    ...(pythonDigest === undefined ? {} : { pythonDigest }),
  });
  const { executionId, attemptName, runId } = record;
  const run = { key: runKey(runId, executionId), value: { runId, executionId, pipeline: record.pipeline } };
  await Promise.all([
    write(store, {
      key: storeKeys.lineageStep(executionId, attemptName),
      value: record,
      remakeable: !Object.values(record.outputs).some(({ kind }) => kind === 'Model'),
    }),
    known.has(run.key) ? undefined : write(store, { ...run, remakeable: true }),
    ...buildPointers(record).map(([key, value]) => write(store, { key, value, remakeable: true })),
  ]);
  known.add(run.key);
}

interface Memory {
  has(key: string): boolean;
  add(key: string): void;
}

/** Remembers the newest keys. */
function createMemory(limit: number): Memory {
  const keys = new Set<string>();
  return {
    has: (key) => keys.has(key),
    add: (key) => {
      keys.add(key);
      const [oldest] = keys;
      if (keys.size > limit && oldest !== undefined) keys.delete(oldest);
    },
  };
}

/** Written at a time. */
const AT_ONCE = 8;

/** Records the calls of an ended run that were answered from the cache, those that its record lists. */
export async function recordReuse(
  store: Pick<ArtifactStore, 'putBytes'>,
  { runId, executionId, pipeline, calls }: RunStatus,
): Promise<void> {
  const waiting = calls.flatMap(({ state, attemptName, cachedFrom }): LineageReuse[] => {
    if (state !== 'cached' || attemptName === undefined || cachedFrom?.executionId === undefined) return [];
    const reused = { runId: cachedFrom.runId, executionId: cachedFrom.executionId };
    return [{ version: 1, reused, runId, executionId, pipeline, attemptName }];
  });
  const run = { runId, executionId, pipeline };
  await write(store, { key: runKey(runId, executionId), value: run });
  const next = async () => {
    for (let reuse = waiting.shift(); reuse; reuse = waiting.shift()) {
      const { reused, attemptName } = reuse;
      await write(store, { key: storeKeys.lineageStep(executionId, attemptName), value: reuse });
      const back = `${storeKeys.lineageReuse(reused.executionId, attemptName)}${executionId}.json`;
      await write(store, { key: back, value: run, remakeable: true });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

function buildPointers(record: LineageStep): [string, object][] {
  const { runId, executionId, attemptName, pipeline, step, inputs, outputs } = record;
  const name = `${executionId}.${attemptName}.json`;
  const pointer = { runId, executionId, attemptName, pipeline, step };
  const artifacts = (refs: LineageStep['inputs'], role: 'made' | 'used') =>
    Object.values(refs).map(({ digest }): [string, object] => [
      `${storeKeys.lineageArtifact(digest, role)}${name}`,
      pointer,
    ]);
  const sources = Object.values(inputs).flatMap(({ source, uri, digest }): [string, object][] =>
    source === undefined
      ? []
      : [...new Set([source, uri])].map((of) => [
          `${storeKeys.lineageSource(digestOfText(of))}${digest}.json`,
          { uri: of, digest },
        ]),
  );
  return [...new Map([...artifacts(outputs, 'made'), ...artifacts(inputs, 'used'), ...sources])];
}

function runKey(runId: string, executionId: string): string {
  return `${storeKeys.lineageRun(toPathSegment(runId))}${executionId}.json`;
}

/** The first writer wins. */
async function write(
  store: Pick<ArtifactStore, 'putBytes'>,
  {
    key,
    value,
    remakeable = false,
  }: { readonly key: string; readonly value: object; readonly remakeable?: boolean },
): Promise<void> {
  await store.putBytes(key, Buffer.from(JSON.stringify(value)), { ifAbsent: true, remakeable });
}
