import assert from 'node:assert/strict';

/** Waits until a probe answers with something else than `undefined` or `false`, and gives that. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  limitMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline)
      assert.fail(`the condition did not come true in ${limitMs / 1_000} s: ${probe}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
