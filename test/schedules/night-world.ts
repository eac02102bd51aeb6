import { sweepSchedules } from '../../src/activities/sweep-schedules.js';
import type { ScheduleDirectory } from '../../src/activities/ports/schedule-directory.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { ScheduledRun, ScheduleView, SkippedTime } from '../../src/core/schedule-account.js';
import { parseDuration } from '../../src/core/duration.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';
import { compileSchedule, type ScheduleTimes } from '../../src/core/schedule-times.js';
import { createMemoryStore } from '../tracking/fixtures.js';

/** A run as the model server keeps it. */
interface NightRun extends ScheduledRun {
  endedAtMs?: number;
}

/**
 * A model of Temporal's scheduler for one schedule: it starts runs at their times, catches up within the window after it was away, leaves
 * out times while a run is open or the schedule is paused, and counts as Temporal's server counts.
 */
export function createNights(definition: ScheduleDefinition, startMs: number) {
  const store = createMemoryStore();
  const told: SkippedTime[] = [];
  const runs: NightRun[] = [];
  const state = {
    ...{ definition, digest: 'd1', paused: false, away: false },
    ...{ nowMs: startMs, processedMs: startMs, createdAtMs: startMs },
    updatedAtMs: undefined as number | undefined,
    counts: { overlap: 0, missed: 0, dropped: 0 },
    /** How long a run takes. */
    runMs: (_run: number) => 3_600_000,
    /** Called when the server starts a run. */
    onStart: (_run: NightRun) => undefined as void,
  };
  let times: ScheduleTimes = compileSchedule(definition);
  const view = (): ScheduleView => ({
    ...{ scheduleId: 'p/nightly', pipeline: 'nightly', definition: state.definition, digest: state.digest },
    ...{ createdAtMs: state.createdAtMs, paused: state.paused, counts: { ...state.counts }, buffered: 0 },
    ...(state.updatedAtMs === undefined ? {} : { updatedAtMs: state.updatedAtMs }),
  });
  const schedules: ScheduleDirectory = {
    listSchedules: async () => Promise.resolve([view()]),
    listRuns: async (_id, sinceMs) =>
      Promise.resolve(
        runs
          .map(({ endedAtMs, ...run }) => ({
            ...run,
            ...(endedAtMs === undefined || endedAtMs > state.nowMs ? {} : { endedAtMs }),
          }))
          .filter((run) => run.startedAtMs >= sinceMs || (run.endedAtMs ?? Infinity) >= sinceMs),
      ),
    readRetentionMs: async () => Promise.resolve(30 * 86_400_000),
  };
  /** What the server does up to now. */
  const serve = () => {
    if (state.away) return;
    for (const { atMs, skipped } of times.between(state.processedMs, state.nowMs)) {
      if (skipped !== undefined || state.paused) continue;
      if (state.nowMs - atMs > parseDuration(state.definition.catchup ?? '1h')) {
        state.counts.missed++;
        continue;
      }
      const startedAtMs = state.nowMs;
      if (runs.some((run) => (run.endedAtMs ?? Infinity) > startedAtMs)) {
        state.counts.overlap++;
        continue;
      }
      const run: NightRun = { runId: `nightly-${new Date(atMs).toISOString()}`, atMs, startedAtMs };
      run.endedAtMs = startedAtMs + state.runMs(runs.length);
      runs.push(run);
      state.onStart(run);
    }
    state.processedMs = state.nowMs;
  };
  return Object.assign(state, {
    ...{ store, told, runs, view, serve },
    change: (next: ScheduleDefinition, digest: string) => {
      Object.assign(state, { definition: next, digest, updatedAtMs: state.nowMs });
      times = compileSchedule(next);
    },
    /** Time goes on, with the server at work once a minute at the times that matter. */
    advance: (toMs: number) => {
      for (const { atMs } of times.between(state.nowMs, toMs)) {
        state.nowMs = atMs;
        serve();
      }
      state.nowMs = toMs;
      serve();
    },
    sweep: async () => {
      await sweepSchedules({
        project: 'p',
        ...{ schedules, store, clock: { nowMs: () => state.nowMs } },
        log: (message) => {
          throw new Error(message);
        },
        tell: async (_view, skipped) => {
          told.push(...skipped);
          await Promise.resolve();
        },
      });
    },
    schedules,
    /** What the store says of times without a run. */
    skipped: (): SkippedTime[] =>
      [...store.objects]
        .filter(([key]) => key.startsWith(storeKeys.scheduleSkips({ project: 'p', pipeline: 'nightly' })))
        .map(([, bytes]) => JSON.parse(Buffer.from(bytes).toString()) as SkippedTime)
        .toSorted((a, b) => a.atMs - b.atMs),
  });
}
