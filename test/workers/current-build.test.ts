import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { followRouting, makeCurrent, readRouting, writeRouting } from '../../src/workers/current-build.js';

test('the current build is followed though its directory cannot be watched', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-current-'));
  const stop = new AbortController();
  try {
    const seen: string[] = [];
    const following = followRouting(directory, stop.signal, async ({ current }) => {
      seen.push(current);
      if (current === 'b') return stop.abort();
      // A watch of a directory that is gone throws, as one does where the machine has no watches left.
      await rm(directory, { recursive: true });
      setTimeout(() => void makeCurrent(directory, 'b'), 100);
    });
    await makeCurrent(directory, 'a');
    await following;
    assert.deepEqual(seen, ['a', 'b']);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('what new runs use is kept with what they used before; making a build current ends a ramp', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-current-'));
  try {
    assert.equal(await readRouting(directory), undefined);
    await makeCurrent(directory, 'a');
    assert.deepEqual(await readRouting(directory), { current: 'a' });
    await makeCurrent(directory, 'b');
    await makeCurrent(directory, 'b');
    assert.deepEqual(await readRouting(directory), { current: 'b', previous: 'a' });
    const ramping = { current: 'b', ramp: { digest: 'c', percent: 12.5 }, previous: 'a' };
    await writeRouting(directory, ramping);
    assert.deepEqual(await readRouting(directory), ramping);
    await makeCurrent(directory, 'c');
    assert.deepEqual(await readRouting(directory), { current: 'c', previous: 'b' });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
