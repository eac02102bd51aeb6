import type { ScheduleOptions } from '@temporalio/client';
import { digestOf } from '../../core/digest.js';
import { parseDuration } from '../../core/duration.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import { pipelinesTaskQueue } from '../../core/run.js';
import { cronFields } from '../../core/schedule-calendar.js';
import {
  DEFAULT_CATCHUP,
  intervalsOf,
  listOf,
  skippedDates,
  type ScheduleDefinition,
} from '../../core/schedule-definition.js';
import { DEFINITION_MEMO, DIGEST_MEMO, OWNER_MEMO, scheduleIdOf } from '../../core/schedule-memos.js';

/** Overlap policies as Temporal calls them. */
export const OVERLAP = {
  skip: 'SKIP',
  'buffer-one': 'BUFFER_ONE',
  'buffer-all': 'BUFFER_ALL',
  'cancel-other': 'CANCEL_OTHER',
  'terminate-other': 'TERMINATE_OTHER',
  'allow-all': 'ALLOW_ALL',
} as const;

/** A pipeline's schedule as Temporal takes it. */
export function buildSchedule(
  project: string,
  { name, schedule: wanted = {} }: Pick<PipelineDefinition, 'name' | 'schedule'>,
): ScheduleOptions {
  const { overlap = 'skip', catchup = DEFAULT_CATCHUP, pauseOnFailure = false } = wanted;
  return {
    scheduleId: scheduleIdOf(project, name),
    spec: buildSpec(wanted),
    action: {
      type: 'startWorkflow',
      workflowType: name,
      // Temporal adds the time, so each run has an id of its own.
      workflowId: name,
      taskQueue: pipelinesTaskQueue(project),
      args: [wanted.params ?? {}],
      memo: {
        [DIGEST_MEMO]: digestOf({ version: 2, project, pipeline: name, wanted }),
        [DEFINITION_MEMO]: wanted,
      },
    },
    policies: { overlap: OVERLAP[overlap], catchupWindow: parseDuration(catchup), pauseOnFailure },
    memo: { [OWNER_MEMO]: project },
  };
}

function buildSpec(wanted: ScheduleDefinition): ScheduleOptions['spec'] {
  const { cron, calendar, timezone = 'UTC', from, until, jitter } = wanted;
  return {
    timezone,
    cronExpressions: [...listOf(cron), ...listOf(calendar).map((times) => cronFields(times).join(' '))],
    intervals: intervalsOf(wanted).map(({ every, offset }) => ({
      every: parseDuration(every),
      ...(offset === undefined ? {} : { offset: parseDuration(offset) }),
    })),
    skip: buildSkips(wanted),
    ...(from === undefined ? {} : { startAt: new Date(from) }),
    ...(until === undefined ? {} : { endAt: new Date(until) }),
    ...(jitter === undefined ? {} : { jitter: parseDuration(jitter) }),
  };
}

const MONTHS = [
  ...(['JANUARY', 'FEBRUARY', 'MARCH', 'APRIL', 'MAY', 'JUNE'] as const),
  ...(['JULY', 'AUGUST', 'SEPTEMBER', 'OCTOBER', 'NOVEMBER', 'DECEMBER'] as const),
];

/** One calendar for all days of a month that are left out. */
function buildSkips(wanted: ScheduleDefinition): NonNullable<ScheduleOptions['spec']['skip']> {
  const months = new Map<string, number[]>();
  for (const { date } of skippedDates(wanted)) {
    const month = date.slice(0, -3);
    months.set(month, [...(months.get(month) ?? []), Number(date.slice(-2))]);
  }
  return [...months].map(([month, days]) => {
    const name = MONTHS[Number(month.slice(-2)) - 1] ?? 'JANUARY';
    const year = month.length > 2 ? { year: Number(month.slice(0, 4)) } : {};
    return { ...year, month: name, dayOfMonth: days, hour: '*', minute: '*', second: '*' };
  });
}
