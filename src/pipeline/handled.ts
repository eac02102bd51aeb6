/**
 * Marks a promise as looked after. A call that fails before the pipeline awaits it is not an unhandled rejection: its failure is thrown
 * where it is awaited, and ends with the run where it never is.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
