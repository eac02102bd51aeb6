import { AnnealError } from '../../core/failures.js';

/** Whether an error is the operating system's, with one of these codes. */
export function hasErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
  );
}

/** An error of the operating system as the store's: what was done, to what, and what to look at. */
export function toStoreError(action: string, key: string, error: unknown): AnnealError {
  if (error instanceof AnnealError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const next = hasErrorCode(error, 'ENOSPC', 'EDQUOT')
    ? 'Free space on that disk.'
    : 'Check that the folder of the store exists and can be written.';
  return new AnnealError(
    'StoreUnavailable',
    `The artifact store cannot ${action} "${key}": ${reason}. ${next}`,
    { cause: error },
  );
}
