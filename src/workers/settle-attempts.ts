/**
 * Waits for all: an attempt that cannot be ended keeps no other from being ended.
 * @throws the error when there was one, an AggregateError that names all of them when there were more.
 */
export async function settleAttempts<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  const errors = settled.flatMap((one): unknown[] => (one.status === 'rejected' ? [one.reason] : []));
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1)
    throw new AggregateError(
      errors,
      errors.map((error) => (error instanceof Error ? error.message : String(error))).join(' '),
    );
  return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}
