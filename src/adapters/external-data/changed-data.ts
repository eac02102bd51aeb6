import { AnnealError } from '../../core/failures.js';

/** What was pinned is not what is there. @param what such as `object s3://data/a.csv`. */
export function changedData(
  what: string,
  found: { readonly pinned: string; readonly now: string },
): AnnealError {
  return new AnnealError(
    'InputChanged',
    `The ${what} changed since the run pinned it: it was ${found.pinned}, now ${found.now}. Start a new run.`,
  );
}
