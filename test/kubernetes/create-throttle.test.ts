import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createThrottle } from '../../src/adapters/kubernetes/create-throttle.js';

describe('requests at a rate', () => {
  const never = new AbortController().signal;

  test('go at once up to the first burst, then one after the other', async () => {
    const throttle = createThrottle(20, () => performance.now());
    const began = performance.now();
    const ended = await Promise.all(
      Array.from({ length: 24 }, async () => (await throttle(never), performance.now() - began)),
    );
    assert.ok((ended[19] ?? Infinity) < 100, `${ended[19]} ms`);
    assert.ok((ended[23] ?? 0) >= 190, `${ended[23]} ms`);
  });

  test('do not wait for the turns of those that were cancelled', async () => {
    const throttle = createThrottle(20, () => performance.now());
    const cancelled = new AbortController();
    const waiting = Array.from({ length: 220 }, async () => await throttle(cancelled.signal));
    cancelled.abort(new Error('cancelled'));
    const ends = await Promise.allSettled(waiting);
    assert.equal(ends.filter(({ status }) => status === 'rejected').length, 200);
    const began = performance.now();
    await throttle(never);
    assert.ok(performance.now() - began < 1_000, `${performance.now() - began} ms`);
  });
});
