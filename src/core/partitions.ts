import { didYouMean } from './nearest-name.js';
import type { Json } from './json.js';
import type { ParameterSchema } from './schema.js';
import { createTimeZone } from './zoned-time.js';

/** Lengths of time that a partition may have. */
export type PartitionSpan = 'hour' | 'day' | 'week';

/** How the data of a pipeline is cut: each run makes one partition, whose key is one of its parameters. */
export type PartitionDefinition =
  | {
      /** Keys are `2026-11-24T13` (an hour in UTC), `2026-11-24`, or `2026-W48` (a week from Monday, ISO 8601). */
      readonly by: PartitionSpan;
      /** The string parameter that takes the key. A run of a schedule that does not set it makes the last whole partition before its time. */
      readonly parameter: string;
      /** Zone whose days and weeks a schedule's times are in. Default `'UTC'`. */
      readonly timezone?: string;
    }
  | { readonly keys: readonly string[]; readonly parameter: string };

/** Partitions that one command may name. */
export const MOST_PARTITIONS = 100_000;
/** Of one of a list: it is in run ids and tags. */
const MOST_KEY_LENGTH = 200;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SPAN_MS = { hour: HOUR_MS, day: DAY_MS, week: 7 * DAY_MS } as const;
/** A Monday. */
const FIRST_MONDAY_MS = Date.UTC(1970, 0, 5);
const FORMS = {
  hour: /^(\d{4}-\d\d-\d\d)T(\d\d)$/,
  day: /^(\d{4}-\d\d-\d\d)$/,
  week: /^(\d{4})-W(\d\d)$/,
} as const;
const EXAMPLES = { hour: '2026-11-24T13', day: '2026-11-24', week: '2026-W48' } as const;

/** What is wrong with a definition, as a sentence without its end. */
export function partitionProblem(
  definition: PartitionDefinition,
  params: { readonly [name: string]: ParameterSchema },
): string | undefined {
  const { parameter } = definition;
  const schema = Object.hasOwn(params, parameter) ? params[parameter] : undefined;
  if (schema?.type !== 'string')
    return `its parameter "${parameter}" must be one of the pipeline's, declared with string()`;
  if ('keys' in definition) return keysProblem(definition.keys);
  if (!Object.hasOwn(SPAN_MS, definition.by))
    return `by "${String(definition.by)}" is none of hour, day, week`;
  try {
    createTimeZone(definition.timezone ?? 'UTC');
  } catch {
    return `its timezone "${definition.timezone ?? ''}" is no IANA zone; write such as "Europe/Berlin"`;
  }
  return undefined;
}

/** Keys are parts of run ids, and `--keys` takes them between commas. */
function keysProblem(keys: readonly string[]): string | undefined {
  if (keys.length === 0 || new Set(keys).size < keys.length)
    return 'its keys must be at least one, each once';
  const wrong = keys.find(
    (key) => typeof key !== 'string' || !/^[^\s,]([^,]*[^\s,])?$/.test(key) || key.length > MOST_KEY_LENGTH,
  );
  if (wrong !== undefined)
    return `its key ${JSON.stringify(wrong)} must be a text of 1 to ${MOST_KEY_LENGTH} characters without commas, and without spaces around it`;
  const second = keys.find((key) => /\.r\d+$/.test(key));
  return second === undefined
    ? undefined
    : `its key "${second}" ends as the run ids of repeated runs do (".r2"); end it differently`;
}

/** What is wrong with a key, as a whole sentence. */
export function keyProblem(definition: PartitionDefinition, key: Json | undefined): string | undefined {
  if ('keys' in definition) {
    if (typeof key === 'string' && definition.keys.includes(key)) return undefined;
    return `There is no partition ${JSON.stringify(key ?? null)}${didYouMean(String(key), definition.keys)}; there are ${definition.keys.slice(0, 20).join(', ')}.`;
  }
  const { by } = definition;
  const startMs = typeof key === 'string' ? startOf(by, key) : undefined;
  return startMs === undefined
    ? `${JSON.stringify(key ?? null)} is no partition by ${by}; write such as "${EXAMPLES[by]}".`
    : undefined;
}

/** The keys from one to another, both included. For hours and weeks a day may stand for its first or last one. @throws TypeError. */
export function partitionsBetween(by: PartitionSpan, from: string, to: string): readonly string[] {
  const firstMs = readBound(by, from, 'from');
  const lastMs = readBound(by, to, 'to');
  const count = (lastMs - firstMs) / SPAN_MS[by] + 1;
  if (count < 1) throw new TypeError(`--to ${to} is before --from ${from}`);
  if (count > MOST_PARTITIONS)
    throw new TypeError(`${count} partitions are more than ${MOST_PARTITIONS}, which is the most at once`);
  return Array.from({ length: count }, (_, i) => keyOf(by, firstMs + i * SPAN_MS[by]));
}

/** The last partition that is whole at a moment. */
export function partitionBefore(definition: PartitionDefinition, atMs: number): string | undefined {
  if ('keys' in definition) return undefined;
  const { by, timezone = 'UTC' } = definition;
  const shownMs = by === 'hour' ? atMs : atMs + createTimeZone(timezone).offsetMs(atMs);
  return keyOf(by, floorTo(by, shownMs) - SPAN_MS[by]);
}

function floorTo(by: PartitionSpan, ms: number): number {
  const origin = by === 'week' ? FIRST_MONDAY_MS : 0;
  return Math.floor((ms - origin) / SPAN_MS[by]) * SPAN_MS[by] + origin;
}

function readBound(by: PartitionSpan, text: string, end: 'from' | 'to'): number {
  const startMs = startOf(by, text);
  if (startMs !== undefined) return startMs;
  const dayMs = by === 'day' ? undefined : startOf('day', text);
  if (dayMs === undefined)
    throw new TypeError(`"${text}" is no partition by ${by}; write such as "${EXAMPLES[by]}"`);
  return floorTo(by, end === 'from' ? dayMs : dayMs + DAY_MS - 1);
}

/** When a partition begins, by the clock that its key is of. */
function startOf(by: PartitionSpan, key: string): number | undefined {
  const found = FORMS[by].exec(key);
  if (found === null) return undefined;
  const [, first = '', second = '00'] = found;
  const ms =
    by === 'week'
      ? floorTo('week', Date.UTC(Number(first), 0, 4)) + (Number(second) - 1) * SPAN_MS.week
      : Date.parse(`${first}T${second}:00:00Z`);
  return !Number.isNaN(ms) && keyOf(by, ms) === key ? ms : undefined;
}

function keyOf(by: PartitionSpan, ms: number): string {
  const iso = new Date(ms).toISOString();
  if (by === 'hour') return iso.slice(0, 13);
  if (by === 'day') return iso.slice(0, 10);
  // The year of a week is that of its Thursday.
  const year = new Date(ms + 3 * DAY_MS).getUTCFullYear();
  const week = Math.round((ms - floorTo('week', Date.UTC(year, 0, 4))) / SPAN_MS.week) + 1;
  return `${year}-W${String(week).padStart(2, '0')}`;
}
