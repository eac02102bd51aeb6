import type { SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { TAGS } from '../core/registry.js';
import type { CallState, RunState, RunStatus } from '../core/run.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { TrackedStatus, Tracking } from './ports/tracking.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createCloseRun} is made of. */
export interface CloseRunDeps {
  /** Absent where runs are not tracked. */
  readonly tracking?: Tracking;
  readonly store: ArtifactStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  /** Takes a sentence for the worker's log. */
  readonly log?: (message: string) => void;
}

/** The part of {@link SystemActivities} that ends a run: its record in the store first, then the tracking server. */
export function createCloseRun(deps: CloseRunDeps): Pick<SystemActivities, 'closeRun'> {
  return {
    closeRun: (input) => withHeartbeat(deps.context(), (signal) => closeRun(deps, input, signal)),
  };
}

/** The record decides how the run ended: a tracking server that refuses (its run may have been deleted) is only logged. */
async function closeRun(
  { tracking, store, clock, log }: CloseRunDeps,
  { status, state }: { readonly status: RunStatus; readonly state: RunState },
  signal: AbortSignal,
): Promise<void> {
  const endedAtMs = status.endedAtMs ?? clock.nowMs();
  const record: RunStatus = { ...status, state, endedAtMs };
  await store.putBytes(
    storeKeys.run(status.executionId),
    Buffer.from(`${JSON.stringify(record, null, 2)}\n`),
  );
  if (tracking === undefined || status.tracking === undefined) return;
  try {
    await closeTracked(tracking, { record, endedAtMs, ...status.tracking }, signal);
  } catch (error) {
    if (!(error instanceof AnnealError) || error.code !== 'TrackingRefused') throw error;
    log?.(`MLflow's run of ${status.runId} could not be closed: ${error.message}`);
  }
}

interface TrackedClosing {
  readonly record: RunStatus;
  readonly endedAtMs: number;
  readonly experimentId: string;
  readonly runId: string;
}

async function closeTracked(
  tracking: Tracking,
  { record, endedAtMs, experimentId, runId }: TrackedClosing,
  signal: AbortSignal,
): Promise<void> {
  // What steps and their commands opened carries the execution's id; the parent goes last, so that a retry finds the rest again.
  const running = await tracking.findRunning(
    { experimentId, tag: TAGS.executionId, value: record.executionId },
    signal,
  );
  const ends = new Map(
    record.calls.map(({ trackingRunId, state: end }) => [trackingRunId, toEndedStatus(end)]),
  );
  for (const left of running) {
    if (left.runId === runId) continue;
    await tracking.setStatus(
      { runId: left.runId, status: ends.get(left.runId) ?? 'KILLED', endedAtMs },
      signal,
    );
  }
  await tracking.log({ runId, tags: buildClosingTags(record) }, signal);
  await tracking.setStatus({ runId, status: toTrackedStatus(record.state), endedAtMs }, signal);
}

function buildClosingTags({ state, failure }: RunStatus): { [name: string]: string } {
  return {
    'anneal.status': state,
    ...(failure === undefined ? {} : { 'anneal.failure': `${failure.code}: ${failure.message}` }),
  };
}

/** How a step ended whose worker could not close its run any more. */
function toEndedStatus(state: CallState): TrackedStatus {
  if (state === 'succeeded' || state === 'cached') return 'FINISHED';
  return state === 'failed' ? 'FAILED' : 'KILLED';
}

function toTrackedStatus(state: RunState): TrackedStatus {
  switch (state) {
    case 'completed':
    case 'not-promoted':
      return 'FINISHED';
    case 'failed':
    case 'timed-out':
      return 'FAILED';
    case 'cancelled':
    case 'terminated':
      return 'KILLED';
    case 'queued':
    case 'running':
    case 'waiting-for-approval':
      return 'RUNNING';
  }
}
