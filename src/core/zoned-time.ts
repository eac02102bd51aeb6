/** A time on the wall clock of a zone. */
export interface WallTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** 0 is Sunday. */
  readonly weekday: number;
}

/** The rules of a time zone. */
export interface TimeZone {
  readonly name: string;
  /** How far the wall clock is ahead of UTC at a moment. */
  offsetMs(atMs: number): number;
  wallTime(atMs: number): WallTime;
  /**
   * The moment at which the wall clock shows a time, hours may be beyond 23. A time that is there twice is the second one east of
   * Greenwich and the first one west of it; one that does not exist is moved by the hour that is missing. So does Temporal.
   */
  instant(wall: Pick<WallTime, 'year' | 'month' | 'day'> & { readonly secondOfDay: number }): number;
}

/** Offsets change on quarters of an hour only. */
const STEP_MS = 900_000;

/** Rules of an IANA zone as this machine knows them. @throws RangeError for an unknown zone. */
export function createTimeZone(name: string): TimeZone {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' },
    second: 'numeric',
  });
  const known = new Map<number, number>();
  const offsetMs = (atMs: number) => {
    const step = Math.floor(atMs / STEP_MS);
    let offset = known.get(step);
    if (offset === undefined) {
      const at = step * STEP_MS;
      const parts: { [type: string]: number } = {};
      for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value);
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
      offset = Date.UTC(year, month - 1, day, hour, minute, second) - at;
      known.set(step, offset);
    }
    return offset;
  };
  return {
    name,
    offsetMs,
    wallTime: (atMs) => {
      const shown = new Date(atMs + offsetMs(atMs));
      return {
        year: shown.getUTCFullYear(),
        month: shown.getUTCMonth() + 1,
        day: shown.getUTCDate(),
        hour: shown.getUTCHours(),
        minute: shown.getUTCMinutes(),
        second: shown.getUTCSeconds(),
        weekday: shown.getUTCDay(),
      };
    },
    instant: ({ year, month, day, secondOfDay }) => {
      const shown = Date.UTC(year, month - 1, day) + secondOfDay * 1_000;
      const guess = offsetMs(shown);
      return shown - offsetMs(shown - guess);
    },
  };
}
