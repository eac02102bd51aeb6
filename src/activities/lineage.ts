import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { AttemptRequest, AttemptSucceeded } from '../core/attempt.js';
import {
  buildLineageStep,
  buildOrigin,
  buildPointers,
  buildReusePointer,
  buildRunPointer,
  type LineageReuse,
} from '../core/lineage.js';
import type { RunStatus } from '../core/run.js';
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
  /**
   * Repeating it changes nothing. The attempt has ended: a store that does not take the record is only logged. Only the record of a step that
   * made a model is waited for; others are written behind the step's back, unless many wait for the store already: what a killed worker
   * leaves out is made again from the manifest.
   */
  recordStep(attempt: LineageAttempt): Promise<void>;
  /** Waits for the records that are being written. */
  settle(): Promise<void>;
}

/** Time that the store has to take a record. */
const PATIENCE_MS = 10_000;
/** Records written behind the backs of their steps at a time. */
const BEHIND = 64;

/** Makes {@link LineageWriter}. */
export function createLineageWriter(deps: LineageDeps): LineageWriter {
  const known = createMemory(RUNS_REMEMBERED);
  const behind = new Set<Promise<void>>();
  const record = async (attempt: LineageAttempt) => {
    const failure = await quietlyWithin(PATIENCE_MS, () => recordStep(deps, attempt, known));
    if (failure !== undefined)
      deps.log?.(
        `Where the outputs of attempt ${attempt.outcome.attemptName} come from was not recorded: ${String(failure)}`,
      );
  };
  return {
    recordStep: async (attempt) => {
      const { inputs } = attempt.request;
      const { outputs } = attempt.outcome;
      if (Object.keys(inputs).length + Object.keys(outputs).length === 0) return;
      const writing = record(attempt);
      if (madeModel(outputs) || behind.size >= BEHIND) {
        await writing;
        return;
      }
      behind.add(writing);
      void writing.finally(() => behind.delete(writing));
    },
    settle: async () => {
      while (behind.size > 0) await Promise.all(behind);
    },
  };
}

function madeModel(outputs: AttemptSucceeded['outputs']): boolean {
  return Object.values(outputs).some(({ kind }) => kind === 'Model');
}

/** Runs whose pointer this worker has written. */
const RUNS_REMEMBERED = 1_000;

/**
 * The record of a step that made a model goes to the disk. Others may be lost by a power failure within seconds, as a flush takes longer than
 * all the rest: they are made again from the manifest, which says the same. A pointer may be there a moment before its record.
 */
async function recordStep(
  { store, readCode }: LineageDeps,
  attempt: LineageAttempt,
  known: Memory,
): Promise<void> {
  const { build, step } = attempt.request;
  const { request, runId, outcome } = attempt;
  const { executionId, tracking } = request;
  const trackingRunId = outcome.trackingRunId;
  const record = buildLineageStep({
    origin: buildOrigin(request, runId),
    executionId,
    outcome,
    code: await readCode({ build, step }),
    ...(tracking === undefined || trackingRunId === undefined
      ? {}
      : { tracking: { experimentId: tracking.experimentId, runId: trackingRunId } }),
  });
  const [runKey, run] = buildRunPointer(record);
  await Promise.all([
    write(store, {
      key: storeKeys.lineageStep(executionId, record.attemptName),
      value: record,
      remakeable: !madeModel(outcome.outputs),
    }),
    known.has(runKey) ? undefined : write(store, { key: runKey, value: run, remakeable: true }),
    ...buildPointers(record).map(([key, value]) => write(store, { key, value, remakeable: true })),
  ]);
  known.add(runKey);
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
  const [runKey, run] = buildRunPointer({ runId, executionId, pipeline });
  await write(store, { key: runKey, value: run });
  const next = async () => {
    for (let reuse = waiting.shift(); reuse; reuse = waiting.shift()) {
      await write(store, { key: storeKeys.lineageStep(executionId, reuse.attemptName), value: reuse });
      const [key, value] = buildReusePointer(reuse);
      await write(store, { key, value, remakeable: true });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
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
