import { storeKeys } from '../../core/artifact-store.js';
import type { RunState } from '../../core/run.js';
import type { SkippedTime } from '../../core/schedule-account.js';
import { scheduleIdOf } from '../../core/schedule-memos.js';
import type { ClientDeps } from '../client-deps.js';
import { readRunState } from '../run-state.js';
import { callTemporal } from '../temporal-errors.js';

/** A time of a schedule and what became of it. */
export type ScheduledTime =
  | {
      readonly atMs: number;
      readonly run: { readonly runId: string; readonly state: RunState };
      readonly skipped?: undefined;
    }
  | { readonly atMs: number; readonly run?: undefined; readonly skipped: SkippedTime };

/** The newest times of a schedule: its runs as Temporal still has them, and the times without one as the store has them. */
export async function readHistory(
  deps: ClientDeps,
  pipeline: string,
  limit: number,
): Promise<readonly ScheduledTime[]> {
  const [runs, skipped] = await Promise.all([
    readRuns(deps, pipeline, limit),
    readSkipped(deps, pipeline, limit),
  ]);
  const times = new Map<number, ScheduledTime>();
  for (const time of [...skipped, ...runs]) times.set(time.atMs, time);
  return [...times.values()].toSorted((a, b) => b.atMs - a.atMs).slice(0, limit);
}

async function readRuns(deps: ClientDeps, pipeline: string, limit: number): Promise<ScheduledTime[]> {
  const query = `TemporalScheduledById = '${scheduleIdOf(deps.project, pipeline)}' AND ExecutionStatus != 'ContinuedAsNew'`;
  return await callTemporal(deps, 'the runs of a schedule', async () => {
    const times: ScheduledTime[] = [];
    for await (const found of deps.temporal.workflow.list({ query })) {
      const [at] = found.searchAttributes['TemporalScheduledStartTime'] ?? [];
      if (!(at instanceof Date)) continue;
      times.push({ atMs: at.getTime(), run: { runId: found.workflowId, state: readRunState(found) } });
      // Open ones come first, whatever their time.
      if (times.length >= 2 * limit) break;
    }
    return times;
  });
}

async function readSkipped(
  { store, project }: ClientDeps,
  pipeline: string,
  limit: number,
): Promise<ScheduledTime[]> {
  if (store?.list === undefined) return [];
  const keys: string[] = [];
  for await (const { key } of store.list(storeKeys.scheduleSkips({ project, pipeline }))) keys.push(key);
  const read = await Promise.all(keys.slice(-limit).map(async (key) => await store.readBytes(key)));
  return read.flatMap((bytes) => {
    if (bytes === undefined) return [];
    const skipped = JSON.parse(Buffer.from(bytes).toString('utf8')) as SkippedTime;
    return [{ atMs: skipped.atMs, skipped }];
  });
}
