import type { SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { RunState, RunStatus } from '../core/run.js';
import { recordPartition, type PartitionRecordDeps } from './backfill.js';
import { recordReuse } from './lineage.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { TrackedStatus, Tracking } from './ports/tracking.js';
import { settleLeftovers, showCachedCalls, type ClosingDeps, type RunClosing } from './tracking-close.js';
import { COST_METRIC } from './tracking-outcome.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createCloseRun} is made of. */
export interface CloseRunDeps extends Pick<PartitionRecordDeps, 'readBuildCode'> {
  /** Absent where runs are not tracked. */
  readonly tracking?: Tracking;
  readonly store: ArtifactStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
  /** Told that a run of a pipeline is about to end: others may wait for that. It throws nothing. */
  readonly onEnd?: (pipeline: string) => Promise<void>;
  /** Takes a sentence for the worker's log. */
  readonly log?: (message: string) => void;
}

/** The part of {@link SystemActivities} that ends a run: its record in the store first, then the tracking server. */
export function createCloseRun(deps: CloseRunDeps): Pick<SystemActivities, 'closeRun'> {
  return {
    closeRun: (input) =>
      withHeartbeat(deps.context(), async (signal) => {
        await closeRun(deps, input, signal);
        await deps.onEnd?.(input.status.pipeline);
      }),
  };
}

/**
 * The record decides how the run ended: a tracking server that refuses (its run may have been deleted) is only logged. The journal is there
 * before it, a partition refers to it afterwards; lineage depends on neither.
 */
async function closeRun(
  deps: CloseRunDeps,
  { status, state, journal }: Parameters<SystemActivities['closeRun']>[0],
  signal: AbortSignal,
): Promise<void> {
  const { tracking, store, clock, log } = deps;
  const endedAtMs = status.endedAtMs ?? clock.nowMs();
  const record: RunStatus = { ...status, state, endedAtMs };
  if (journal)
    await store.putBytes(storeKeys.journal(status.executionId), Buffer.from(JSON.stringify(journal)));
  await Promise.all([
    store.putBytes(storeKeys.run(status.executionId), Buffer.from(`${JSON.stringify(record, null, 2)}\n`)),
    recordReuse(store, record),
  ]);
  await recordPartition(deps, record);
  if (tracking === undefined || status.tracking === undefined) return;
  try {
    await closeTracked({ tracking, store }, { record, endedAtMs, ...status.tracking }, signal);
  } catch (error) {
    if (!(error instanceof AnnealError) || error.code !== 'TrackingRefused') throw error;
    log?.(`MLflow's run of ${status.runId} could not be closed: ${error.message}`);
  }
}

/** The parent goes last, so that a retry finds the rest again. */
async function closeTracked(deps: ClosingDeps, closing: RunClosing, signal: AbortSignal): Promise<void> {
  const { record, endedAtMs, runId } = closing;
  const cached = await showCachedCalls(deps, closing, signal);
  await settleLeftovers(deps, closing, signal);
  const { cost } = record;
  const points =
    cost === undefined ? [] : [{ name: COST_METRIC, value: cost, step: 0, timestampMs: endedAtMs }];
  await deps.tracking.log({ runId, tags: { ...buildClosingTags(record), ...cached }, points }, signal);
  await deps.tracking.setStatus({ runId, status: toTrackedStatus(record.state), endedAtMs }, signal);
}

function buildClosingTags({ state, failure }: RunStatus): { [name: string]: string } {
  return {
    'anneal.status': state,
    ...(failure === undefined ? {} : { 'anneal.failure': `${failure.code}: ${failure.message}` }),
  };
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
    case 'paused':
    case 'waiting-for-approval':
      return 'RUNNING';
  }
}
