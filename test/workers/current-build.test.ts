import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { followCurrent, makeCurrent } from '../../src/workers/current-build.js';

test('the current build is followed though its directory cannot be watched', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-current-'));
  const stop = new AbortController();
  try {
    const seen: string[] = [];
    const following = followCurrent(directory, stop.signal, async (digest) => {
      seen.push(digest);
      if (digest === 'b') return stop.abort();
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
