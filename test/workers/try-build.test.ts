import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Build } from '../../src/workers/build/build-manifest.js';
import { hostForTrial, type TrialDeps } from '../../src/workers/try-build.js';

const build: Build = { digest: 'a'.repeat(64), dir: 'a', manifest: {} as Build['manifest'] };

function createDeps(hosted: () => readonly string[]) {
  const done: string[] = [];
  let nowMs = 0;
  const deps: TrialDeps = {
    ship: async ({ digest }) => void done.push(await Promise.resolve(`ship ${digest.slice(0, 1)}`)),
    want: async (digest) => void done.push(await Promise.resolve(`want ${digest.slice(0, 1)}`)),
    listHosted: async () => await Promise.resolve(hosted()),
    signal: new AbortController().signal,
    nowMs: () => (nowMs += 1_000),
    patienceMs: 3_000,
  };
  return { deps, done };
}

describe('trying a build', () => {
  test('asks workers for it once it is where they read it, and goes on when one hosts it', async () => {
    let looks = 0;
    const { deps, done } = createDeps(() => (++looks > 2 ? ['b', build.digest] : ['b']));
    await hostForTrial(deps, build);
    assert.deepEqual(done, ['ship a', 'want a', 'ship a']);
    assert.equal(looks, 3);
  });

  test('says what to do where no worker hosts it in time', async () => {
    const { deps } = createDeps(() => ['b']);
    await assert.rejects(hostForTrial(deps, build), {
      code: 'WorkerUnavailable',
      message:
        'No worker has taken up build aaaaaaaaaaaa within 3 s, so nothing was started. A worker with pipelines that takes builds from the store does it within seconds, or says in its log why not; start one with: anneal worker',
    });
  });

  test('ends with its signal', async () => {
    const { deps } = createDeps(() => []);
    const signal = AbortSignal.abort(new Error('interrupted'));
    await assert.rejects(hostForTrial({ ...deps, signal }, build), /interrupted/);
  });
});
