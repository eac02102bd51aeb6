import type { ScheduleDefinition } from './schedule-definition.js';
import { compileSchedule, type ScheduleTimes } from './schedule-times.js';
import type { TimeZone, WallTime } from './zoned-time.js';

/** What a change of the clocks does to a schedule on its day. */
export interface ClockChange {
  /** `2026-03-29`, by the wall clock. */
  readonly date: string;
  readonly atMs: number;
  /** Positive: clocks go forward by so much; negative: back. */
  readonly byMs: number;
  readonly effects: readonly ClockEffect[];
}

/** One time of the schedule that the change concerns. */
export interface ClockEffect {
  /** `02:30` by the wall clock. */
  readonly wall: string;
  /**
   * `missing`: the wall clock never shows it, nothing starts. `twice`: it is shown twice and starts a run each time. `once`: it is shown
   * twice, and starts one run. `lost`: it is shown, and starts nothing. `extra`: a run starts although the schedule has no such time.
   */
  readonly kind: 'missing' | 'twice' | 'once' | 'lost' | 'extra';
  /** When runs start. */
  readonly startsAtMs: readonly number[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The changes of the clocks between two moments that concern times of a schedule by the wall clock, and what each does. */
export function explainClockChanges(
  definition: ScheduleDefinition,
  fromMs: number,
  untilMs: number,
): readonly ClockChange[] {
  const { every: _interval, from: _from, until: _until, ...byWallClock } = definition;
  if (byWallClock.cron === undefined && byWallClock.calendar === undefined) return [];
  const times = compileSchedule(byWallClock);
  // The same times where clocks never change: what the wall clock should show.
  const plain = compileSchedule({ ...byWallClock, timezone: 'UTC' });
  return findChanges(times.zone, fromMs, untilMs).map(({ atMs, byMs }) => ({
    date: dateText(times.zone.wallTime(atMs)),
    ...{ atMs, byMs },
    effects: effectsOf({ times, plain }, atMs, byMs),
  }));
}

/** `2026-03-29`. */
export function dateText({ year, month, day }: WallTime): string {
  return `${year}-${two(month)}-${two(day)}`;
}

/** `02:30`, with seconds where there are some. */
export function clockText({ hour, minute, second }: WallTime): string {
  return `${two(hour)}:${two(minute)}${second === 0 ? '' : `:${two(second)}`}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function findChanges(zone: TimeZone, fromMs: number, untilMs: number) {
  const changes: { readonly atMs: number; readonly byMs: number }[] = [];
  for (let atMs = Math.ceil(fromMs / HOUR_MS) * HOUR_MS; atMs <= untilMs; atMs += HOUR_MS) {
    const byMs = zone.offsetMs(atMs) - zone.offsetMs(atMs - HOUR_MS);
    if (byMs !== 0) changes.push({ atMs, byMs });
  }
  return changes;
}

interface Compared {
  readonly times: ScheduleTimes;
  readonly plain: ScheduleTimes;
}

/** Compares what starts around the change with what the wall clock should have started. */
function effectsOf({ times, plain }: Compared, atMs: number, byMs: number): readonly ClockEffect[] {
  const { zone } = times;
  const spanMs = Math.abs(byMs);
  // By the wall clock, beginning before the change and ending after it, in whole hours.
  const before = atMs - spanMs - HOUR_MS;
  const after = atMs + spanMs + HOUR_MS;
  const [startWall, endWall] = [before + zone.offsetMs(before), after + zone.offsetMs(after)];
  const expected = plain.between(startWall - 1_000, endWall).map(({ atMs: wall }) => wall);
  const started = new Map<number, number[]>();
  for (const { atMs: start } of times.between(before - DAY_MS, after + DAY_MS)) {
    const wall = start + zone.offsetMs(start);
    started.set(wall, [...(started.get(wall) ?? []), start]);
  }
  const concerned = [...started.keys()].filter((wall) => wall >= startWall && wall <= endWall);
  const walls = [...new Set([...expected, ...concerned])].toSorted((a, b) => a - b);
  return walls.flatMap((wall): ClockEffect[] => {
    const startsAtMs = started.get(wall) ?? [];
    const shown = momentsOf(zone, wall).length;
    const kind = effectOf({ isExpected: expected.includes(wall), shown, starts: startsAtMs.length });
    return kind === undefined ? [] : [{ wall: clockText(wallOf(wall)), kind, startsAtMs }];
  });
}

function effectOf({
  isExpected,
  shown,
  starts,
}: {
  readonly isExpected: boolean;
  readonly shown: number;
  readonly starts: number;
}): ClockEffect['kind'] | undefined {
  if (!isExpected) return 'extra';
  if (shown === 0) return 'missing';
  if (starts === 0) return 'lost';
  if (shown === 1) return undefined;
  return starts === 1 ? 'once' : 'twice';
}

/** All moments at which the wall clock shows a time. */
function momentsOf(zone: TimeZone, wall: number): readonly number[] {
  const offsets = new Set([zone.offsetMs(wall - DAY_MS), zone.offsetMs(wall + DAY_MS)]);
  return [...offsets].filter((offset) => zone.offsetMs(wall - offset) === offset);
}

/** A time of the wall clock that is kept as if it were UTC. */
function wallOf(ms: number): WallTime {
  const at = new Date(ms);
  return {
    ...{ year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate() },
    ...{ hour: at.getUTCHours(), minute: at.getUTCMinutes(), second: at.getUTCSeconds() },
    weekday: at.getUTCDay(),
  };
}
