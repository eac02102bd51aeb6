import type { CacheOptions } from './run.js';

/**
 * Reads what a run was told about the cache in its parameters: `false`, or `{ "refresh": ["step"], "verify": "full" }`. A text is a
 * problem, for people.
 */
export function readCacheOptions(value: unknown): CacheOptions | undefined | string {
  if (value === undefined || value === true) return undefined;
  if (value === false) return { off: true };
  const refusal =
    'Parameter "$cache" takes false, or an object with refresh (a list of step names) and verify ("full").';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refusal;
  const { refresh, verify, ...rest } = value as { refresh?: unknown; verify?: unknown };
  const isList = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((name) => typeof name === 'string');
  if (Object.keys(rest).length > 0 || (refresh !== undefined && !isList(refresh))) return refusal;
  if (verify !== undefined && verify !== 'full' && verify !== 'size') return refusal;
  return { ...(refresh === undefined ? {} : { refresh }), ...(verify === 'full' ? { verify } : {}) };
}
