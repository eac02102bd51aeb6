import cronstrue from 'cronstrue';
import { formatDuration } from '../core/duration.js';
import { cronFields, readCron } from '../core/schedule-calendar.js';
import {
  intervalsOf,
  listOf,
  skippedDates,
  type CalendarTimes,
  type ScheduleDefinition,
} from '../core/schedule-definition.js';

/** `At 02:00, UTC`; several times are joined by `; `. */
export function scheduleInWords(definition: ScheduleDefinition): string {
  const { cron, calendar, timezone = 'UTC', jitter } = definition;
  const times = [
    ...[...listOf(cron).map(readCron), ...listOf(calendar)].map(calendarInWords),
    ...intervalsOf(definition).map(
      ({ every, offset }) => `Every ${every}${offset === undefined ? '' : `, ${offset} later`}`,
    ),
  ];
  const skips = skippedDates(definition).length;
  return [
    `${times.join('; ')}, ${timezone}`,
    ...(jitter === undefined ? [] : [`up to ${jitter} later`]),
    ...(skips === 0 ? [] : [`but for ${skips} ${skips === 1 ? 'date' : 'dates'}`]),
  ].join(', ');
}

function calendarInWords(times: CalendarTimes): string {
  const fields = cronFields(times);
  const short = fields[0] === '0' && fields[6] === '*';
  return cronstrue.toString((short ? fields.slice(1, 6) : fields).join(' '), { use24HourTimeFormat: true });
}

/** `Tue 2026-11-24 02:00 UTC (in 13h 20m)`, by the clock of the schedule. */
export function timeInWords(atMs: number, timezone: string, nowMs?: number): string {
  const parts: { [type: string]: string } = {};
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hourCycle: 'h23',
    ...{ weekday: 'short', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit' },
    ...{ minute: '2-digit', timeZoneName: 'short' },
  });
  for (const { type, value } of format.formatToParts(atMs)) parts[type] = value;
  const at = `${parts['weekday'] ?? ''} ${parts['year'] ?? ''}-${parts['month'] ?? ''}-${parts['day'] ?? ''}`;
  const clock = `${parts['hour'] ?? ''}:${parts['minute'] ?? ''} ${parts['timeZoneName'] ?? ''}`;
  return `${at} ${clock}${nowMs === undefined ? '' : ` (in ${formatDuration(Math.max(0, atMs - nowMs))})`}`;
}
