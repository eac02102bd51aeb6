import { parseDuration } from './duration.js';
import { compileCalendar, LAST_YEAR, readCron, readInterval, type Calendar } from './schedule-calendar.js';
import {
  DEFAULT_CATCHUP,
  intervalsOf,
  listOf,
  OVERLAPS,
  skippedDates,
  type ScheduleDefinition,
  type SkippedDate,
} from './schedule-definition.js';
import { createTimeZone, type TimeZone } from './zoned-time.js';

/** A moment at which a schedule's times fall; with `skipped` nothing starts. */
export interface FireTime {
  readonly atMs: number;
  readonly skipped?: SkippedDate;
}

/** The times of a schedule, exactly those of Temporal's server: before jitter, a second at the least apart. */
export interface ScheduleTimes {
  readonly zone: TimeZone;
  /** The first time after a moment; those that are skipped are given, too. */
  next(afterMs: number): FireTime | undefined;
  /** All after the first moment up to the second one, at most `limit`. */
  between(afterMs: number, untilMs: number, limit?: number): readonly FireTime[];
}

const HOUR_MS = 3_600_000;

/** Compiles a schedule. @throws TypeError or RangeError that says what is wrong; see {@link scheduleProblem}. */
export function compileSchedule(definition: ScheduleDefinition): ScheduleTimes {
  const zone = createTimeZone(definition.timezone ?? 'UTC');
  const calendars = [...listOf(definition.cron).map(readCron), ...listOf(definition.calendar)].map(
    compileCalendar,
  );
  const intervals = intervalsOf(definition).map(readInterval);
  const skips = new Map(skippedDates(definition).map((skip) => [checkDate(skip.date), skip]));
  const fromMs = readMoment(definition.from, 0);
  const untilMs = readMoment(definition.until, Date.UTC(LAST_YEAR + 1, 0, 1));
  const raw = (afterMs: number) =>
    Math.min(
      ...calendars.map((calendar) => firstInCalendar(calendar, zone, afterMs) ?? Infinity),
      ...intervals.map(({ everySeconds, offsetSeconds }) => {
        const steps = Math.floor((Math.floor(afterMs / 1_000) - offsetSeconds) / everySeconds) + 1;
        return (steps * everySeconds + offsetSeconds) * 1_000;
      }),
    );
  const next = (afterMs: number): FireTime | undefined => {
    const atMs = raw(Math.max(afterMs, fromMs - 1_000));
    if (!Number.isFinite(atMs) || atMs > untilMs) return undefined;
    const skipped = skips.size === 0 ? undefined : skippedOn(skips, zone, atMs);
    return { atMs, ...(skipped && { skipped }) };
  };
  return {
    zone,
    next,
    between: (afterMs, endMs, limit = Infinity) => {
      const times: FireTime[] = [];
      let time = next(afterMs);
      while (time !== undefined && time.atMs <= endMs && times.length < limit) {
        times.push(time);
        time = next(time.atMs);
      }
      return times;
    },
  };
}

/** What is wrong with a schedule, as a sentence without its end; `undefined` where nothing is. */
export function scheduleProblem(definition: ScheduleDefinition): string | undefined {
  const { cron, timezone, overlap, pauseOnFailure, catchup = DEFAULT_CATCHUP, jitter } = definition;
  try {
    createTimeZone(timezone ?? 'UTC');
  } catch {
    return `its timezone "${timezone ?? ''}" is no IANA zone; write such as "Europe/Berlin"`;
  }
  for (const one of listOf(cron)) {
    try {
      compileCalendar(readCron(one));
    } catch (error) {
      return `its cron "${one}" cannot be used: ${messageOf(error)}`;
    }
  }
  try {
    const { next } = compileSchedule(definition);
    if ([cron, definition.every, definition.calendar].every((one) => listOf<unknown>(one).length === 0))
      return 'it has no times; say cron, every or calendar';
    if (parseDuration(catchup) < 10_000) return `its catchup "${catchup}" is less than Temporal's "10s"`;
    if (jitter !== undefined) parseDuration(jitter);
    if (next(Date.UTC(2000, 0, 1)) === undefined) return 'none of its times ever comes';
  } catch (error) {
    return `it cannot be used: ${messageOf(error)}`;
  }
  if (overlap !== undefined && !OVERLAPS.includes(overlap))
    return `its overlap "${overlap as string}" is none of ${OVERLAPS.join(', ')}`;
  return pauseOnFailure === true && overlap === 'allow-all'
    ? `pauseOnFailure has no effect with overlap "allow-all", since Temporal does not watch such runs; choose another overlap`
    : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function readMoment(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new TypeError(`"${text}" is no ISO time, such as "2026-12-01" or with a time and zone`);
  return ms;
}

/** A date that exists, `2026-12-25` or `12-25`. */
function checkDate(date: string): string {
  const [, year = '2024', month = '', day = ''] = /^(?:(\d{4})-)?(\d\d)-(\d\d)$/.exec(date) ?? [];
  const found = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (month === '' || found.getUTCMonth() + 1 !== Number(month) || found.getUTCDate() !== Number(day))
    throw new TypeError(`"${date}" is no date to skip; write "2026-12-25", or "12-25" for every year`);
  return date;
}

function skippedOn(skips: ReadonlyMap<string, SkippedDate>, zone: TimeZone, atMs: number) {
  const { year, month, day } = zone.wallTime(atMs);
  const date = `${pad(month)}-${pad(day)}`;
  return skips.get(`${year}-${date}`) ?? skips.get(date);
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

/** How far from a change of the clocks times are found by starting before it. */
const NEAR_MS = 3 * HOUR_MS;

/** The first time of a calendar after a moment, wherever it is looked for from: in a repeated hour that would make a difference. */
function firstInCalendar(calendar: Calendar, zone: TimeZone, afterMs: number): number | undefined {
  const isNear = zone.offsetMs(afterMs - NEAR_MS) !== zone.offsetMs(afterMs + NEAR_MS);
  let atMs = nextInCalendar(calendar, zone, isNear ? afterMs - 2 * NEAR_MS : afterMs);
  while (atMs !== undefined && atMs <= afterMs) atMs = nextInCalendar(calendar, zone, atMs);
  return atMs;
}

/**
 * The first time of a calendar after a moment. The wall clock is followed hour by hour as Temporal's server does, with what comes of that
 * when clocks change: a time that does not exist is left out; an hour that is there twice may match twice, or once.
 */
function nextInCalendar(calendar: Calendar, zone: TimeZone, afterMs: number): number | undefined {
  const start = zone.wallTime(afterMs);
  let { hour } = start;
  let dayMs = Date.UTC(start.year, start.month - 1, start.day);
  let from = start.minute * 60 + start.second + 1;
  /** The wall clock shows this hour for the second time. */
  let again = zone.wallTime(afterMs - HOUR_MS).hour === hour;
  for (;;) {
    const day = new Date(dayMs);
    const date = { year: day.getUTCFullYear(), month: day.getUTCMonth() + 1, day: day.getUTCDate() };
    if (date.year > LAST_YEAR) return undefined;
    const at = (secondOfDay: number) => zone.instant({ ...date, secondOfDay });
    const hourAt = hour;
    const matching =
      isDay(calendar, date, () => zone.wallTime(at(hourAt * 3_600 + Math.min(from, 3_599))).weekday) &&
      calendar.hours.find((one) => one >= hourAt);
    if (matching === false || matching === undefined) {
      dayMs = skipDays(calendar, date, dayMs);
      [hour, from, again] = [0, 0, false];
      continue;
    }
    if (matching > hour) [hour, from, again] = [matching, 0, false];
    const within = nextWithinHour(calendar, from);
    if (within !== undefined) {
      const atMs = at(hour * 3_600 + within);
      if (zone.wallTime(atMs).hour === hour) return atMs + (again ? HOUR_MS : 0);
      [hour, from] = [hour + 1, 0];
    } else {
      again = !again && at((hour + 1) * 3_600) - at(hour * 3_600) > HOUR_MS;
      [hour, from] = [again ? hour : hour + 1, 0];
    }
  }
}

interface CalendarDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

function isDay(calendar: Calendar, { year, month, day }: CalendarDate, weekday: () => number): boolean {
  return (
    calendar.years.has(year) &&
    calendar.months.has(month) &&
    calendar.daysOfMonth.has(day) &&
    calendar.daysOfWeek.has(weekday())
  );
}

/** The next day, or the first one of the next month or year where this one does not match. */
function skipDays(calendar: Calendar, { year, month }: CalendarDate, dayMs: number): number {
  if (!calendar.years.has(year)) return Date.UTC(year + 1, 0, 1);
  return calendar.months.has(month) ? dayMs + 24 * HOUR_MS : Date.UTC(year, month, 1);
}

/** The first matching second of an hour from this one on. */
function nextWithinHour({ minutes, seconds }: Calendar, from: number): number | undefined {
  const minute = Math.floor(from / 60);
  for (const one of minutes) {
    if (one < minute) continue;
    const second = seconds.find((each) => one > minute || each >= from % 60);
    if (second !== undefined) return one * 60 + second;
  }
  return undefined;
}
