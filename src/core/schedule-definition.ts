import type { Json } from './json.js';

/** Values of one field of a calendar: a number, cron's own writing (`'mon-fri'`, `'*\/15'`), or a list of both. */
export type CalendarField = number | string | readonly (number | string)[];

/** Times by the wall clock. All fields must match; seconds, minutes and hours default to 0, the others to any. */
export interface CalendarTimes {
  readonly second?: CalendarField;
  readonly minute?: CalendarField;
  readonly hour?: CalendarField;
  readonly dayOfMonth?: CalendarField;
  /** 1 to 12, or names. */
  readonly month?: CalendarField;
  /** 0 (Sunday) to 6, or names. */
  readonly dayOfWeek?: CalendarField;
  readonly year?: CalendarField;
}

/** Every so often, counted from the first second of 1970 in UTC, whatever the time zone. */
export interface IntervalTimes {
  /** Such as `'6h'`; whole seconds. */
  readonly every: string;
  /** Moves all times by this much: `{ every: '1h', offset: '15m' }` is a quarter past. */
  readonly offset?: string;
}

/** A day on which nothing starts. */
export interface SkippedDate {
  /** `2026-12-25`, or `12-25` for every year. */
  readonly date: string;
  readonly name?: string;
}

/** Days without runs. */
export interface ScheduleSkips {
  /** `'2026-12-25'`, or `'12-25'` for every year; with `{ date, name }` the name is shown. */
  readonly dates?: readonly (string | SkippedDate)[];
  /** A text file beside anneal.yaml: one date a line, then its name. The build reads it. */
  readonly file?: string;
}

/** What happens when the run before is still open at the next time. */
export type ScheduleOverlap =
  'skip' | 'buffer-one' | 'buffer-all' | 'cancel-other' | 'terminate-other' | 'allow-all';

/** All of them. */
export const OVERLAPS: readonly ScheduleOverlap[] = [
  ...(['skip', 'buffer-one', 'buffer-all'] as const),
  ...(['cancel-other', 'terminate-other', 'allow-all'] as const),
];

/** When a pipeline starts by itself: at all times of `cron`, `every` and `calendar` together, but for `skip`. */
export interface ScheduleDefinition {
  /** Five fields such as `'0 2 * * *'` (six: and a year; seven: and seconds first), or several. All fields must match. */
  readonly cron?: string | readonly string[];
  readonly every?: string | IntervalTimes | readonly (string | IntervalTimes)[];
  readonly calendar?: CalendarTimes | readonly CalendarTimes[];
  /** IANA zone. Default `'UTC'`. */
  readonly timezone?: string;
  /** Nothing starts before this ISO time, or day in UTC. */
  readonly from?: string;
  /** Nothing starts after this ISO time, or day in UTC. */
  readonly until?: string;
  readonly skip?: ScheduleSkips;
  /** Default `'skip'`. */
  readonly overlap?: ScheduleOverlap;
  /** How late a time may still start its run when Temporal was away. Default `'1h'`, at least `'10s'`. */
  readonly catchup?: string;
  /** Each time is put off by a part of this, always the same for the same time. Default: none. */
  readonly jitter?: string;
  /** A run that fails or times out pauses the schedule. Not with `overlap: 'allow-all'`. */
  readonly pauseOnFailure?: boolean;
  /** Parameters of the runs it starts; default: the pipeline's defaults. */
  readonly params?: { readonly [name: string]: Json };
}

/** Catch-up where a schedule says nothing. Temporal's own default is a whole year. */
export const DEFAULT_CATCHUP = '1h';

/** One or several as a list. */
export function listOf<T>(given: T | readonly T[] | undefined): readonly T[] {
  if (given === undefined) return [];
  return Array.isArray(given) ? (given as readonly T[]) : [given as T];
}

/** The intervals of a schedule. */
export function intervalsOf({ every }: ScheduleDefinition): readonly IntervalTimes[] {
  return listOf<string | IntervalTimes>(every).map((one) => (typeof one === 'string' ? { every: one } : one));
}

/** The dates that a schedule leaves out. */
export function skippedDates({ skip }: ScheduleDefinition): readonly SkippedDate[] {
  return (skip?.dates ?? []).map((one) => (typeof one === 'string' ? { date: one } : one));
}
