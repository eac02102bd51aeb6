import { z } from 'zod';
import { parseDuration } from '../core/duration.js';
import { parseBytes } from '../core/quantity.js';

// Every message is what the key allows: the loader puts the position, the key and what was found before it.

export const TEXT = 'a text that is not empty';
const MEMORY = 'an amount of memory such as "8Gi"';
const AGE = 'a time such as "90d" or "12h"';

/** A whole number from `min` on. */
export const count = (allowed: string, min: number) => z.int({ error: allowed }).min(min, allowed);

/** A number of cores. */
export const cores = () => {
  const allowed = 'a number of cores above 0';
  return z.number({ error: allowed }).positive(allowed);
};

/** An amount of memory or storage. */
export const memory = () => z.string({ error: MEMORY }).refine(isMemory, MEMORY);

/** Any text but none. */
export const text = (allowed: string = TEXT) => z.string({ error: allowed }).min(1, allowed);

/** A span of time. */
export const age = () => z.string({ error: AGE }).refine((written) => durationOf(written) !== undefined, AGE);

/** A map of settings that may be left out. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, { error: 'a map of settings' }).optional();
}

/** A duration in milliseconds; `undefined` for what is none. */
export function durationOf(written: string): number | undefined {
  try {
    return parseDuration(written);
  } catch {
    return undefined;
  }
}

function isMemory(written: string): boolean {
  try {
    return parseBytes(written) > 0;
  } catch {
    return false;
  }
}
