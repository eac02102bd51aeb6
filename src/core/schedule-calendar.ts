import { parseDuration } from './duration.js';
import type { CalendarField, CalendarTimes, IntervalTimes } from './schedule-definition.js';

/** A calendar whose fields are the values that match. */
export interface Calendar {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday. */
  readonly daysOfWeek: ReadonlySet<number>;
  readonly years: ReadonlySet<number>;
}

/** Years that Temporal knows. */
export const LAST_YEAR = 2100;
const FIRST_YEAR = 2000;

const MONTHS = 'january february march april may june july august september october november december'.split(
  ' ',
);
const DAYS = 'sunday monday tuesday wednesday thursday friday saturday'.split(' ');

/** One field of a calendar: its name in messages, its range, names of its values. */
interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  readonly shortest?: number;
}

const FIELDS = {
  second: { name: 'second', min: 0, max: 59 },
  minute: { name: 'minute', min: 0, max: 59 },
  hour: { name: 'hour', min: 0, max: 23 },
  dayOfMonth: { name: 'day of month', min: 1, max: 31 },
  month: { name: 'month', min: 1, max: 12, names: MONTHS, shortest: 3 },
  dayOfWeek: { name: 'day of week', min: 0, max: 7, names: DAYS, shortest: 2 },
  year: { name: 'year', min: FIRST_YEAR, max: LAST_YEAR },
} as const satisfies { readonly [name in keyof CalendarTimes]-?: Field };

const WORDS: { readonly [word: string]: string } = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/** A cron expression as fields of a calendar. @throws TypeError that says what is wrong. */
export function readCron(cron: string): CalendarTimes {
  if (/^(CRON_)?TZ=/.test(cron)) throw new TypeError('the zone is said by timezone, not inside of cron');
  if (cron.startsWith('@every')) throw new TypeError('write every: instead of @every');
  const fields = (WORDS[cron.trim()] ?? cron).trim().split(/\s+/);
  const named = (given: readonly string[]): CalendarTimes => {
    const [minute = '', hour = '', dayOfMonth = '', month = '', dayOfWeek = '', year = '*'] = given;
    return { minute, hour, dayOfMonth, month, dayOfWeek, year };
  };
  if (fields.length === 7) return { ...named(fields.slice(1)), second: fields[0] ?? '0' };
  if (fields.length === 5 || fields.length === 6) return named(fields);
  throw new TypeError(
    `it has ${fields.length} ${fields.length === 1 ? 'field' : 'fields'}; write five, such as "0 2 * * *", six with a year, or seven with seconds first`,
  );
}

/** The values that match. @throws TypeError that says what is wrong. */
export function compileCalendar(times: CalendarTimes): Calendar {
  const unknown = Object.keys(times).find((name) => !Object.hasOwn(FIELDS, name));
  if (unknown !== undefined)
    throw new TypeError(`a calendar has no "${unknown}"; it has ${Object.keys(FIELDS).join(', ')}`);
  const values = (name: keyof typeof FIELDS, otherwise: string) =>
    readField(FIELDS[name], times[name] ?? otherwise);
  return {
    seconds: values('second', '0'),
    minutes: values('minute', '0'),
    hours: values('hour', '0'),
    daysOfMonth: new Set(values('dayOfMonth', '*')),
    months: new Set(values('month', '*')),
    daysOfWeek: new Set(values('dayOfWeek', '*').map((day) => day % 7)),
    years: new Set(values('year', '*')),
  };
}

/** A calendar as the seven fields of cron, seconds first and the year last; what it leaves out is filled in. */
export function cronFields(times: CalendarTimes): readonly string[] {
  const { second = 0, minute = 0, hour = 0 } = times;
  const { dayOfMonth = '*', month = '*', dayOfWeek = '*', year = '*' } = times;
  return [second, minute, hour, dayOfMonth, month, dayOfWeek, year].map(fieldText);
}

function fieldText(field: CalendarField): string {
  return Array.isArray(field) ? field.join(',') : String(field);
}

function readField(field: Field, given: CalendarField): readonly number[] {
  const found = new Set<number>();
  for (const part of fieldText(given).split(',')) {
    const [range = '', stepText, ...rest] = part.trim().split('/');
    const step = stepText === undefined ? 1 : Number(stepText);
    if (rest.length > 0 || !Number.isInteger(step) || step < 1)
      throw new TypeError(`"${part}" is no ${field.name}; write such as "*", "1", "1-5", "1,3" or "*/2"`);
    const [start, end] = readRange(field, range, stepText !== undefined);
    for (let value = start; value <= end; value += step) found.add(value);
  }
  return [...found].toSorted((a, b) => a - b);
}

function readRange(field: Field, range: string, stepped: boolean): readonly [number, number] {
  if (range === '*') return [field.min, field.max];
  const [first = '', last, ...rest] = range.split('-');
  const start = readValue(field, first);
  if (last === undefined) return [start, stepped ? field.max : start];
  const end = readValue(field, last);
  if (rest.length > 0 || end < start)
    throw new TypeError(`"${range}" is no range of the ${field.name}: it ends before it begins`);
  return [start, end];
}

function readValue({ name, min, max, names, shortest = 0 }: Field, text: string): number {
  const lower = text.toLowerCase();
  const named = lower.length >= shortest ? (names?.findIndex((one) => one.startsWith(lower)) ?? -1) : -1;
  const value = named >= 0 && lower !== '' ? named + min : /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new TypeError(
    `"${text}" is no ${name}; it goes from ${min} to ${max}${names === undefined ? '' : ', or by name'}`,
  );
}

/** An interval in seconds. @throws TypeError that says what is wrong. */
export function readInterval({ every, offset = '0s' }: IntervalTimes): {
  readonly everySeconds: number;
  readonly offsetSeconds: number;
} {
  const [everySeconds, offsetSeconds] = [parseDuration(every) / 1_000, parseDuration(offset) / 1_000];
  if (!Number.isInteger(everySeconds) || everySeconds < 1)
    throw new TypeError(`every "${every}" is no whole number of seconds; write "1s" or more`);
  if (!Number.isInteger(offsetSeconds) || offsetSeconds >= everySeconds)
    throw new TypeError(`offset "${offset}" must be whole seconds and less than every "${every}"`);
  return { everySeconds, offsetSeconds };
}
