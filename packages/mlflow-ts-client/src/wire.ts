import { z } from 'zod';

/**
 * Turns our value into MLflow's JSON: snake_case keys, and NaN and the infinities as the strings that
 * protobuf's JSON knows (`JSON.stringify(NaN)` would be `null`). Keys that users choose never pass through
 * here: on the wire they are values, `[{ key, value }]`.
 */
export function toWire(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  return mapKeys(value, toWire, (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

/** The reverse of {@link toWire} for keys; numbers are converted by the schemas, which know where they are. */
export function fromWire(value: unknown): unknown {
  return mapKeys(value, fromWire, (key) =>
    key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
  );
}

function mapKeys(
  value: unknown,
  inner: (value: unknown) => unknown,
  rename: (key: string) => string,
): unknown {
  if (Array.isArray(value)) return value.map(inner);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [rename(key), inner(item)]));
}

/** Tags or parameters: unique keys, text values. */
export type StringMap = Readonly<Record<string, string>>;

/** `[{ key, value }]`, as MLflow wants tags and parameters; undefined stays undefined and is left out. */
export function toPairs(map: StringMap | undefined): { key: string; value: string }[] | undefined {
  return map === undefined ? undefined : Object.entries(map).map(([key, value]) => ({ key, value }));
}

/** int64: a number today, text in protobuf's JSON and in older servers. */
export const wireInteger = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number),
]);

/** Ids and versions: text, tolerated as numbers. */
export const wireId = z.union([z.string(), z.number().transform(String)]);

/** double with NaN and the infinities as text. */
export const wireDouble = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity']).transform(Number)]);

/** `[{ key, value }]` as a record; a list that is absent is empty. */
export const wirePairs = z
  .array(z.object({ key: z.string(), value: z.string().default('') }))
  .default([])
  .transform((pairs): StringMap => Object.fromEntries(pairs.map(({ key, value }) => [key, value])));

/** `{}`, or anything: for calls whose answer says nothing. */
export const wireNothing = z.unknown().transform((): void => undefined);

/** An empty page token means the same as none. */
export const wirePageToken = z
  .string()
  .optional()
  .transform((token) => (token === '' ? undefined : token));
