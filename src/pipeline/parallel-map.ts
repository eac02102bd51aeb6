import { failureCode } from './flow.js';
import { handled } from './handled.js';

/** How a fan-out runs. */
export interface ParallelOptions {
  /** Items worked on at once. Default: all. */
  readonly concurrency?: number;
  /** Items that may fail without failing the whole. Default 0. */
  readonly tolerate?: number;
}

/** One item's result, or its failure. */
export type ItemResult<R> =
  { readonly ok: true; readonly value: R } | { readonly ok: false; readonly error: unknown };

/**
 * Runs `fn` for every item, `concurrency` at a time, and answers in the order of the items. More than `tolerate` failures: no new
 * item is started, those running are waited for, then the first failure is thrown. Cancellation is never tolerated.
 */
export function parallelMap<T, R>(
  items: readonly T[],
  fn: (item: T, index: number) => Promise<R>,
  options: ParallelOptions = {},
): Promise<readonly ItemResult<R>[]> {
  return handled(mapInLanes(items, fn, options));
}

async function mapInLanes<T, R>(
  items: readonly T[],
  fn: (item: T, index: number) => Promise<R>,
  options: ParallelOptions,
): Promise<readonly ItemResult<R>[]> {
  const results: ItemResult<R>[] = [];
  const tolerate = options.tolerate ?? 0;
  const failures: unknown[] = [];
  let next = 0;
  let fatal = false;
  const lane = async () => {
    while (next < items.length && failures.length <= tolerate && !fatal) {
      const index = next++;
      try {
        results[index] = { ok: true, value: await fn(items[index] as T, index) };
      } catch (error) {
        fatal ||= failureCode(error) === undefined;
        failures.push(error);
        results[index] = { ok: false, error };
      }
    }
  };
  const lanes = Math.max(1, Math.min(options.concurrency ?? items.length, items.length));
  await Promise.all(Array.from({ length: lanes }, lane));
  const thrown = fatal
    ? failures.find((error) => failureCode(error) === undefined)
    : failures.length > tolerate
      ? failures[0]
      : undefined;
  if (thrown !== undefined) throw thrown instanceof Error ? thrown : new Error(String(thrown));
  return results;
}
