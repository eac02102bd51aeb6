import type { ScheduleDescription } from '@temporalio/client';
import { AnnealError } from '../../core/failures.js';
import type { ScheduleDefinition } from '../../core/schedule-definition.js';
import { DEFINITION_MEMO, OWNER_MEMO, scheduleIdOf } from '../../core/schedule-memos.js';
import type { ClientDeps } from '../client-deps.js';
import { callTemporal } from '../temporal-errors.js';

/** One schedule of the project. */
export interface ScheduleInfo {
  readonly pipeline: string;
  readonly scheduleId: string;
  readonly paused: boolean;
  readonly note?: string;
  /** As it was applied; absent for one that was not made by this version. */
  readonly definition?: ScheduleDefinition;
  /** Up to ten, as the server says them: after jitter. */
  readonly nextAtMs: readonly number[];
  readonly lastRunId?: string;
}

/** The list of schedules has no memos of actions: each is asked for. */
export async function listSchedules(deps: ClientDeps): Promise<ScheduleInfo[]> {
  const listed = await Promise.all(
    (await listOwned(deps)).map(async (info) => {
      const found = await describeSchedule(deps, info.scheduleId);
      if (found === undefined) return [];
      const definition = readDefinition(found.action.memo);
      const nextAtMs = found.info.nextActionTimes.map((time) => time.getTime());
      return [{ ...info, nextAtMs, ...(definition === undefined ? {} : { definition }) }];
    }),
  );
  return listed.flat();
}

/** A schedule as the server has it; `undefined` for one that was removed while the list still had it. */
export async function describeSchedule(
  deps: ClientDeps,
  scheduleId: string,
): Promise<ScheduleDescription | undefined> {
  const handle = deps.temporal.schedule.getHandle(scheduleId);
  try {
    return await callTemporal(deps, `schedule "${scheduleId}"`, async () => await handle.describe());
  } catch (error) {
    if (error instanceof AnnealError && error.code === 'RunNotFound') return undefined;
    throw error;
  }
}

/** A schedule as the code had it when it was applied. */
export function readDefinition(
  memo: { readonly [name: string]: unknown } | undefined,
): ScheduleDefinition | undefined {
  return memo?.[DEFINITION_MEMO] as ScheduleDefinition | undefined;
}

/** The schedules that are marked as the project's. */
export async function listOwned(deps: ClientDeps): Promise<ScheduleInfo[]> {
  const prefix = scheduleIdOf(deps.project, '');
  return await callTemporal(deps, 'the list of schedules', async () => {
    const owned: ScheduleInfo[] = [];
    for await (const found of deps.temporal.schedule.list()) {
      if (!found.scheduleId.startsWith(prefix) || found.memo?.[OWNER_MEMO] !== deps.project) continue;
      const last = found.info.recentActions.at(-1)?.action.workflow.workflowId;
      const { note, paused } = found.state;
      owned.push({
        pipeline: found.scheduleId.slice(prefix.length),
        scheduleId: found.scheduleId,
        paused,
        ...(note === undefined || note === '' ? {} : { note }),
        nextAtMs: found.info.nextActionTimes.map((time) => time.getTime()),
        ...(last === undefined ? {} : { lastRunId: last }),
      });
    }
    return owned.toSorted((a, b) => (a.pipeline < b.pipeline ? -1 : 1));
  });
}
