/** Does what must not change how something ended: waits for it so long, and takes its failure for an end. @returns what failed. */
export async function quietlyWithin(ms: number, work: () => Promise<void>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error(`it took longer than ${ms} ms`)), ms);
  });
  const done = work().then(
    () => undefined,
    (error: unknown) => error ?? new Error('unknown'),
  );
  try {
    return await Promise.race([done, enough]);
  } finally {
    clearTimeout(timer);
  }
}
