import type { Manifest } from '../core/artifacts.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { AttemptSucceeded } from '../core/attempt.js';
import { REGISTRATION_KEY_TAG, TAGS } from '../core/registry.js';
import type { CallStatus, RunStatus } from '../core/run.js';
import type { TrackedRun, TrackedStatus, Tracking } from './ports/tracking.js';
import { buildOutcomeTags, readFinalMetrics } from './tracking-outcome.js';

/** A run that ends. */
export interface RunClosing {
  readonly record: RunStatus;
  readonly endedAtMs: number;
  readonly experimentId: string;
  /** The run's parent run. */
  readonly runId: string;
}

/** What closing stands on. */
export interface ClosingDeps {
  readonly tracking: Tracking;
  readonly store: Pick<ArtifactStore, 'readBytes'>;
}

/**
 * Ends what is still RUNNING below a run. A step's run whose worker could not close it, or did not even know it (MLflow was away when it
 * took the attempt over), is found by its key and ends as the call ended, with the metrics that the attempt's manifest holds.
 */
export async function settleLeftovers(
  { tracking, store }: ClosingDeps,
  { record, endedAtMs, experimentId, runId }: RunClosing,
  signal: AbortSignal,
): Promise<void> {
  const { executionId, calls } = record;
  const search = { experimentId, tag: TAGS.executionId, value: executionId };
  const byRun = new Map(calls.map((call) => [call.trackingRunId, call]));
  const byKey = new Map(calls.map((call) => [`${executionId}/${call.id}`, call]));
  for (const left of await tracking.findRunning(search, signal)) {
    if (left.runId === runId) continue;
    const key = left.tags[REGISTRATION_KEY_TAG];
    const call = byRun.get(left.runId) ?? byKey.get(key ?? '');
    // What a command opened below its step carries the step's tags, but no key.
    const ofStep = call !== undefined || key === `${executionId}/${left.tags[TAGS.callId] ?? ''}`;
    const made = ofStep ? await readMade({ store }, { executionId, call, left }) : undefined;
    if (made !== undefined) {
      const entries = { tags: buildOutcomeTags(made), points: readFinalMetrics(made, left.latest) };
      await tracking.log({ runId: left.runId, ...entries }, signal);
    }
    const status = made === undefined ? toEndedStatus(call) : 'FINISHED';
    await tracking.setStatus(
      { runId: left.runId, status, endedAtMs: made?.endedAtMs ?? call?.endedAtMs ?? endedAtMs },
      signal,
    );
  }
}

/** Calls that were answered from the cache and get a run of their own at most. */
const SHOWN_HITS = 100;
/** Made at a time. */
const AT_ONCE = 8;

/**
 * Makes one FINISHED run below the parent for each call that was answered from the cache, the first {@link SHOWN_HITS}, with its metrics
 * and where it came from. A hit itself asks nothing of MLflow.
 * @returns tags of the parent run that say how many there were.
 */
export async function showCachedCalls(
  deps: ClosingDeps,
  closing: RunClosing,
  signal: AbortSignal,
): Promise<{ readonly [name: string]: string }> {
  const { calls, counts } = closing.record;
  const hits = calls.filter(({ state }) => state === 'cached').slice(0, SHOWN_HITS);
  const waiting = [...hits];
  const show = async () => {
    for (let call = waiting.shift(); call; call = waiting.shift())
      await showHit(deps, { ...closing, call }, signal);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, hits.length) }, show));
  const all = Math.max(counts.cached ?? 0, hits.length);
  if (all === 0) return {};
  return {
    'anneal.cached_calls':
      all === hits.length ? String(all) : `${all}, of which ${hits.length} have runs of their own here`,
  };
}

async function showHit(
  { tracking, store }: ClosingDeps,
  { record, experimentId, runId, call }: RunClosing & { readonly call: CallStatus },
  signal: AbortSignal,
): Promise<void> {
  const { cachedFrom, attemptName = '' } = call;
  const run = await tracking.ensureRun(
    {
      experimentId,
      key: `${record.executionId}/${call.id}`,
      name: call.name,
      parentRunId: runId,
      startedAtMs: call.startedAtMs,
      tags: {
        'mlflow.source.type': 'JOB',
        'mlflow.source.name': `${record.pipeline}/${call.name}`,
        'mlflow.note.content': `Step **${call.name}** of run \`${record.runId}\`, **cached**: the result of run \`${cachedFrom?.runId ?? 'unknown'}\` was used again.`,
        [TAGS.runId]: record.runId,
        [TAGS.executionId]: record.executionId,
        [TAGS.pipeline]: record.pipeline,
        [TAGS.step]: call.name,
        [TAGS.callId]: call.id,
        'anneal.cached': 'true',
        'anneal.attempt_name': attemptName,
        ...(cachedFrom === undefined ? {} : { 'anneal.cached_from.run_id': cachedFrom.runId }),
        ...(cachedFrom?.tracking === undefined
          ? {}
          : { 'anneal.cached_from.mlflow_run_id': cachedFrom.tracking.runId }),
      },
    },
    signal,
  );
  if (run.status === 'FINISHED') return;
  const { executionId } = cachedFrom ?? {};
  const made =
    executionId === undefined ? undefined : await readSucceeded({ store }, { executionId, attemptName });
  if (made !== undefined) {
    const entries = { tags: buildOutcomeTags(made), points: readFinalMetrics(made, run.latest) };
    await tracking.log({ runId: run.runId, ...entries }, signal);
  }
  await tracking.setStatus(
    { runId: run.runId, status: 'FINISHED', endedAtMs: call.endedAtMs ?? call.startedAtMs },
    signal,
  );
}

/** What a step's run that was left open is known to have made; nothing for a call that did not succeed. */
async function readMade(
  deps: Pick<ClosingDeps, 'store'>,
  {
    executionId,
    call,
    left,
  }: { readonly executionId: string; readonly call: CallStatus | undefined; readonly left: TrackedRun },
): Promise<AttemptSucceeded | undefined> {
  if (call !== undefined && call.state !== 'succeeded') return undefined;
  // A call that the record does not list any more has settled: its manifest says how.
  const attemptName = call?.attemptName ?? left.tags['anneal.attempt_name'];
  return attemptName === undefined ? undefined : await readSucceeded(deps, { executionId, attemptName });
}

/** An attempt's success as its manifest records it. A manifest that is gone or unreadable is none: the record stands without it. */
async function readSucceeded(
  { store }: Pick<ClosingDeps, 'store'>,
  { executionId, attemptName }: { readonly executionId: string; readonly attemptName: string },
): Promise<AttemptSucceeded | undefined> {
  try {
    const bytes = await store.readBytes(storeKeys.manifest(executionId, attemptName));
    if (bytes === undefined) return undefined;
    const { outputs, parameters, startedAtMs, endedAtMs } = JSON.parse(
      new TextDecoder().decode(bytes),
    ) as Manifest;
    return { kind: 'succeeded', attemptName, outputs, parameters, startedAtMs, endedAtMs };
  } catch {
    return undefined;
  }
}

function toEndedStatus(call: CallStatus | undefined): TrackedStatus {
  if (call?.state === 'succeeded' || call?.state === 'cached') return 'FINISHED';
  return call?.state === 'failed' ? 'FAILED' : 'KILLED';
}
