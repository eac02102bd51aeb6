import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Build } from '../../src/workers/build/build-manifest.js';
import type { Routing } from '../../src/workers/current-build.js';
import { deployBuild, rollBack, type DeployDeps } from '../../src/workers/deploy-build.js';

/** Builds that workers follow at once, or not at all. */
function createPlace({ followed = true }: { readonly followed?: boolean } = {}) {
  const shipped: string[] = [];
  let routing: Routing | undefined;
  let served: Routing | undefined;
  let nowMs = 0;
  const deps: DeployDeps = {
    signal: new AbortController().signal,
    nowMs: () => (nowMs += 1_000),
    patienceMs: 3_000,
    readServerRouting: async () => await Promise.resolve(served),
    place: {
      ship: async ({ digest }) => void shipped.push(await Promise.resolve(digest)),
      readRouting: async () => await Promise.resolve(routing),
      changeRouting: async (change) => {
        routing = await Promise.resolve(change(routing));
        if (followed) served = routing;
        return routing;
      },
      advice: 'Start one.',
    },
  };
  return { deps, shipped };
}

const build = (digest: string): Build => ({ digest, dir: digest, manifest: {} as Build['manifest'] });

describe('deploying', () => {
  test('makes a build current, remembers the one before, and goes back and forth', async () => {
    const { deps, shipped } = createPlace();
    await assert.rejects(rollBack(deps), /There is nothing to go back to/);
    await assert.rejects(deployBuild(deps, build('a'), 10), /No build is current yet/);
    assert.deepEqual(await deployBuild(deps, build('a')), { current: 'a' });
    assert.deepEqual(await deployBuild(deps, build('b')), { current: 'b', previous: 'a' });
    assert.deepEqual(await rollBack(deps), { current: 'a', previous: 'b' });
    assert.deepEqual(await rollBack(deps), { current: 'b', previous: 'a' });
    assert.deepEqual(shipped, ['a', 'a', 'a', 'b', 'b']);
  });

  test('ramps, and a rollback ends the ramp before anything else', async () => {
    const { deps } = createPlace();
    await deployBuild(deps, build('a'));
    await deployBuild(deps, build('b'));
    const ramp = { digest: 'c', percent: 20 };
    assert.deepEqual(await deployBuild(deps, build('c'), 20), { current: 'b', previous: 'a', ramp });
    assert.deepEqual((await deployBuild(deps, build('c'), 60)).ramp?.percent, 60);
    await assert.rejects(deployBuild(deps, build('b'), 10), /Build b is current already/);
    assert.deepEqual(await rollBack(deps), { current: 'b', previous: 'a' });
    assert.deepEqual(await deployBuild(deps, build('c')), { current: 'c', previous: 'b' });
  });

  test('takes a share that the server cannot keep exactly', async () => {
    const { deps } = createPlace();
    await deployBuild(deps, build('a'));
    const { readServerRouting } = deps;
    const rounded: DeployDeps = {
      ...deps,
      readServerRouting: async () => {
        const { ramp, ...found } = (await readServerRouting()) ?? { current: '' };
        return ramp === undefined
          ? found
          : { ...found, ramp: { ...ramp, percent: Math.fround(ramp.percent) } };
      },
    };
    assert.equal((await deployBuild(rounded, build('b'), 33.3)).ramp?.percent, 33.3);
  });

  test('that is interrupted says that what was asked for stays asked for', async () => {
    const { deps } = createPlace({ followed: false });
    const signal = AbortSignal.abort(new Error('interrupted'));
    await assert.rejects(deployBuild({ ...deps, signal }, build('a')), {
      message:
        'Stopped waiting. Build a stays asked for: new runs use it as soon as a worker hosts it. Take that back with: anneal deploy --rollback',
      cause: signal.reason as Error,
    });
  });

  test('says so where another deployment came in between', async () => {
    const { deps } = createPlace({ followed: false });
    const other = async () => {
      await deps.place.changeRouting(() => ({ current: 'b', previous: 'a' }));
      return undefined;
    };
    await assert.rejects(deployBuild({ ...deps, readServerRouting: other }, build('a')), {
      code: 'InvalidInput',
      message: /Another deployment came after this one: build b is to be current/,
    });
  });

  test('says so where no worker takes the build up', async () => {
    const { deps } = createPlace({ followed: false });
    await assert.rejects(deployBuild(deps, build('a')), {
      code: 'WorkerUnavailable',
      message: /No worker has taken up build a yet.* Start one\./,
    });
  });
});
