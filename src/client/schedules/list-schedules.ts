import type { ScheduleDescription } from '@temporalio/client';
import { AnnealError } from '../../core/failures.js';
import type { ScheduleDefinition } from '../../core/schedule-definition.js';
import { DEFINITION_MEMO, OWNER_MEMO, scheduleIdOf } from '../../core/schedule-memos.js';
import type { ClientDeps } from '../client-deps.js';
import { callTemporal } from '../temporal-errors.js';

/** A schedule that is marked as the project's. */
interface OwnedSchedule {
  readonly pipeline: string;
  readonly scheduleId: string;
}

/** One schedule of the project. */
export interface ScheduleInfo extends OwnedSchedule {
  readonly paused: boolean;
  readonly note?: string;
  /** As it was applied; absent for one that was not made by this version. */
  readonly definition?: ScheduleDefinition;
  /** Up to ten, as the server says them: after jitter. */
  readonly nextAtMs: readonly number[];
  readonly lastRunId?: string;
}

/** The list of schedules is late and has no memos of actions: each is asked for. */
export async function listSchedules(deps: ClientDeps): Promise<ScheduleInfo[]> {
  const listed = await Promise.all(
    (await listOwned(deps)).map(async (owned) => {
      const found = await describeSchedule(deps, owned.scheduleId);
      return found === undefined ? [] : [{ ...owned, ...infoOf(found) }];
    }),
  );
  return listed.flat();
}

function infoOf({ action, info, state }: ScheduleDescription): Omit<ScheduleInfo, keyof OwnedSchedule> {
  const definition = readDefinition(action.memo);
  const last = info.recentActions.at(-1)?.action.workflow.workflowId;
  const { note, paused } = state;
  return {
    paused,
    ...(note === undefined || note === '' ? {} : { note }),
    ...(definition === undefined ? {} : { definition }),
    nextAtMs: info.nextActionTimes.map((time) => time.getTime()),
    ...(last === undefined ? {} : { lastRunId: last }),
  };
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

/** The schedules that are marked as the project's, by pipeline. */
export async function listOwned(deps: ClientDeps): Promise<OwnedSchedule[]> {
  const prefix = scheduleIdOf(deps.project, '');
  return await callTemporal(deps, 'the list of schedules', async () => {
    const owned: OwnedSchedule[] = [];
    for await (const { scheduleId, memo } of deps.temporal.schedule.list())
      if (scheduleId.startsWith(prefix) && memo?.[OWNER_MEMO] === deps.project)
        owned.push({ pipeline: scheduleId.slice(prefix.length), scheduleId });
    return owned.toSorted((a, b) => (a.pipeline < b.pipeline ? -1 : 1));
  });
}
