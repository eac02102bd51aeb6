import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstat, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openStore } from '../../src/adapters/open-store.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import type { Build } from '../../src/workers/build/build-manifest.js';
import { createEnsureBuild, fetchBuild } from '../../src/workers/fetch-build.js';
import { deployBuild } from '../../src/workers/deploy-build.js';
import { shipBuild } from '../../src/workers/ship-build.js';
import { changeRouting, readDeployments, wantBuild, WANTED_MS } from '../../src/workers/store-deployments.js';
import { createStorePlace } from '../../src/workers/store-place.js';
import { createStoreSource } from '../../src/workers/store-source.js';
import { listOldStoredBuilds, removeStoredBuilds } from '../../src/workers/store-retention.js';
import { trimFetched } from '../../src/workers/trim-fetched.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { makeBuild } from './made-build.js';

let base: string;
let desk: string;
let machine: string;

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'anneal-store-builds-'));
  [desk, machine] = [path.join(base, 'desk'), path.join(base, 'machine')];
});
afterEach(async () => await rm(base, { recursive: true, force: true }));

/** The memory store, which takes files too, and where a test finds out what is written. */
function memoryStore(now: { ms: number } = { ms: 0 }) {
  const store = createMemoryStore(() => now.ms);
  const putFile: ArtifactStore['putFile'] = async (key, file) => {
    const bytes = await readFile(file);
    await store.putBytes(key, bytes);
    return { path: key, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  };
  return { ...store, putFile };
}

const stores: { readonly [name: string]: () => ArtifactStore } = {
  memory: () => memoryStore(),
  directory: () => openStore({ root: path.join(base, 'store') }),
};

for (const [name, open] of Object.entries(stores))
  describe(`a build in the store (${name})`, () => {
    test('arrives on another machine as it was, files that run among them', async () => {
      const store = open();
      const build = await makeBuild(desk, 'one');
      await shipBuild(store, build);
      const fetched = await fetchBuild({ store, buildsDir: machine }, build.digest);
      assert.deepEqual(fetched.manifest, build.manifest);
      const names = await readdir(build.dir, { recursive: true });
      assert.deepEqual(
        (await readdir(fetched.dir, { recursive: true })).toSorted(),
        [...names, 'fetched'].toSorted(),
      );
      assert.ok((await lstat(path.join(fetched.dir, 'code/write/run.sh'))).mode & 0o100);
      assert.deepEqual(await readdir(machine), [build.digest]);
    });

    test('that was killed while it was put there is not there, and the next one who puts it there completes it', async () => {
      const store = open();
      const build = await makeBuild(desk, 'one');
      for (let parts = 0; ; parts++) {
        const whole = await shipBuild(dyingAfter(store, parts), build).then(
          () => true,
          () => false,
        );
        if (whole) break;
        await assert.rejects(fetchBuild({ store, buildsDir: machine }, build.digest), {
          code: 'BuildFailed',
          message: /is not, or not wholly, in the store/,
        });
        assert.deepEqual(await readdir(machine), []);
      }
      await fetchBuild({ store, buildsDir: machine }, build.digest);
    });

    test('is the same when two put it there at once, and what was damaged is mended', async () => {
      const store = open();
      const build = await makeBuild(desk, 'one');
      await Promise.all([shipBuild(store, build), shipBuild(store, build)]);
      await fetchBuild({ store, buildsDir: machine }, build.digest);
      await store.remove([`builds/${build.digest}/code/write/files/run.sh`]);
      await store.putBytes(`builds/${build.digest}/workflows.js`, Buffer.from('short'));
      await store.putBytes(
        `builds/${build.digest}/code/write/files/lib/data.json`,
        Buffer.from('{"code":"eno"}'),
      );
      const bare = path.join(base, 'bare');
      await assert.rejects(fetchBuild({ store, buildsDir: bare }, build.digest), /not wholly/);
      await shipBuild(store, build);
      await fetchBuild({ store, buildsDir: bare }, build.digest);
    });

    for (const [part, key, bytes] of [
      ['the code', 'workflows.js', 'evil//# sourceMappingURL=data:\n'],
      ['what comes after the code', 'workflows.js', 'one//# sourceMappingURL=data:\nevil()'],
      ['the tasks', 'activities.mjs', 'evil//# sourceMappingURL=data:\n'],
      ['a file of a step', 'code/write/files/run.sh', '#!/bin/evil\n'],
      ['a lock', 'python/write.txt', 'evil\n'],
    ] as const)
      test(`is refused where ${part} is not what its digest says`, async () => {
        const store = open();
        const build = await makeBuild(desk, 'one');
        await shipBuild(store, build);
        await store.putBytes(`builds/${build.digest}/${key}`, Buffer.from(bytes));
        await assert.rejects(fetchBuild({ store, buildsDir: machine }, build.digest), {
          code: 'BuildFailed',
          message: /is refused: .* is not what its digest was made from/,
        });
        assert.deepEqual(await readdir(machine), []);
      });
  });

describe('a build on a machine', () => {
  test('that was changed there is fetched anew', async () => {
    const store = memoryStore();
    const build = await makeBuild(desk, 'one');
    await shipBuild(store, build);
    const place = { store, buildsDir: machine };
    const { dir } = await fetchBuild(place, build.digest);
    await writeFile(path.join(dir, 'code/write/run.sh'), 'evil');
    await fetchBuild(place, build.digest);
    assert.equal(await readFile(path.join(dir, 'code/write/run.sh'), 'utf8'), '#!/bin/sh\n');
  });

  test('is fetched once for many steps, and again when it was removed', async () => {
    const store = memoryStore();
    const build = await makeBuild(desk, 'one');
    const ensure = createEnsureBuild({ store, buildsDir: machine });
    await assert.rejects(ensure(build.digest), { code: 'BuildFailed' });
    await shipBuild(store, build);
    await Promise.all([ensure(build.digest), ensure(build.digest)]);
    await rm(path.join(machine, build.digest), { recursive: true });
    await ensure(build.digest);
    assert.deepEqual(await readdir(machine), [build.digest]);
  });

  test('goes when it is old, unless it is used, has open runs, or did not come from the store', async () => {
    const store = memoryStore();
    const builds: Build[] = [];
    for (let i = 0; i < 9; i++) {
      const build = await makeBuild(desk, `code ${i}`);
      builds.push(build);
      await shipBuild(store, build);
      const { dir } = await fetchBuild({ store, buildsDir: machine }, build.digest);
      await utimes(path.join(dir, 'fetched'), i, i);
    }
    const own = await makeBuild(machine, 'made here');
    const [current, open, gone1, gone2, ...kept] = builds.map(({ digest }) => digest);
    await writeFile(path.join(machine, 'current'), `${current ?? ''}\n`);
    const isNeeded = async (digest: string) => await Promise.resolve(digest === open);
    const trimmed = await trimFetched({ buildsDir: machine, nowMs: () => Date.now(), isNeeded });
    assert.deepEqual(trimmed, [gone1, gone2]);
    const left = (await readdir(machine)).filter((name) => name !== 'current');
    assert.deepEqual(left.toSorted(), [current, open, own.digest, ...kept].toSorted());
  });
});

describe('what new runs use, in the store', () => {
  test('is changed by one after the other, each knowing the one before', async () => {
    const place = { store: openStore({ root: path.join(base, 'store') }), project: 'shop' };
    assert.deepEqual(await readDeployments(place, 0), { wanted: [] });
    const names = ['a', 'b', 'c', 'd', 'e'];
    const change = async (current: string) =>
      await changeRouting(place, (before) => ({ current, ...(before && { previous: before.current }) }), {
        nowMs: 1,
      });
    const written = await Promise.all(names.map(change));
    const { routing } = await readDeployments(place, 0);
    assert.ok(routing);
    const chain = [routing.current];
    for (let at = routing.previous; at !== undefined;)
      at = (chain.push(at), written.find(({ current }) => current === at)?.previous);
    assert.deepEqual(chain.toSorted(), names);
  });

  test('names a ramp, keeps the last fifty changes, and is each project’s own', async () => {
    const store = memoryStore();
    const place = { store, project: 'shop' };
    const ramp = { digest: 'r', percent: 33.3 };
    for (let i = 0; i < 60; i++)
      await changeRouting(place, () => ({ current: `c${i}`, ramp }), { nowMs: 0, by: 'ana' });
    assert.deepEqual(await readDeployments(place, 0), { routing: { current: 'c59', ramp }, wanted: [] });
    assert.equal(store.objects.size, 51);
    assert.deepEqual(await readDeployments({ store, project: 'shop2' }, 0), { wanted: [] });
  });

  test('is not touched by builds that are wanted for a while', async () => {
    const now = { ms: 1_000 };
    const place = { store: memoryStore(now), project: 'shop' };
    await wantBuild(place, 'x', now.ms);
    assert.deepEqual(await readDeployments(place, now.ms), { wanted: ['x'] });
    now.ms += WANTED_MS;
    assert.deepEqual(await readDeployments(place, now.ms), { wanted: [] });
    now.ms += 4 * WANTED_MS;
    await wantBuild(place, 'y', now.ms);
    assert.deepEqual([...place.store.objects.keys()], ['deployments/shop/wanted/y.json']);
  });
});

describe('a worker that takes builds from the store', () => {
  test('takes up what it can, says once what it cannot, and takes that up when it can', async () => {
    const store = memoryStore();
    const build = await makeBuild(desk, 'one');
    const said: string[] = [];
    let nowMs = 0;
    const source = createStoreSource({
      ...{ store, project: 'shop', buildsDir: machine, pollMs: 1 },
      log: (message) => said.push(message),
      nowMs: () => (nowMs += 1_000),
      hasOpenRuns: async () => await Promise.resolve(false),
    });
    const ended = new AbortController();
    const taken: string[] = [];
    const following = source.follow(ended.signal, async ({ routing }) => {
      if (routing === undefined) return;
      await source.load(routing.current);
      taken.push(routing.current);
      ended.abort();
    });
    await changeRouting({ store, project: 'shop' }, () => ({ current: build.digest }), { nowMs: 0 });
    while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await shipBuild(store, build);
    await following;
    assert.deepEqual(taken, [build.digest]);
    assert.equal(said.length, 1);
    assert.match(
      said[0] ?? '',
      /new builds are not taken up: Build \w{12} is not, or not wholly, in the store/,
    );
    assert.equal(await readFile(path.join(machine, 'current'), 'utf8'), `${build.digest}\n`);
  });

  test('keeps here what is hosted here, though no run of it is open and it was fetched long ago', async () => {
    const store = memoryStore();
    const builds: Build[] = [];
    for (let i = 0; i < 7; i++) {
      const build = await makeBuild(desk, `code ${i}`);
      builds.push(build);
      await shipBuild(store, build);
      const { dir } = await fetchBuild({ store, buildsDir: machine }, build.digest);
      await utimes(path.join(dir, 'fetched'), i, i);
    }
    const [tried, old] = builds.map(({ digest }) => digest);
    let nowMs = Date.now();
    const ended = new AbortController();
    const source = createStoreSource({
      ...{ store, project: 'shop', buildsDir: machine, pollMs: 1, log: () => undefined },
      nowMs: () => (nowMs += 60_000),
      hasOpenRuns: async () => await Promise.resolve(false),
      isHosted: (digest) => digest === tried,
    });
    const following = source.follow(ended.signal, async () => await Promise.resolve());
    while ((await readdir(machine)).includes(old ?? ''))
      await new Promise((resolve) => setTimeout(resolve, 1));
    ended.abort();
    await following;
    assert.ok((await readdir(machine)).includes(tried ?? ''));
  });
});

describe('builds that anneal gc may remove from the store', () => {
  test('are old, of this project, and neither current, ramping, the one before, wanted, hosted nor among the newest', async () => {
    const now = { ms: 0 };
    const store = memoryStore(now);
    const digests: string[] = [];
    for (let i = 0; i < 9; i++) {
      now.ms = i;
      const build = await makeBuild(desk, `code ${i}`, i === 5 ? 'other' : 'shop');
      digests.push(build.digest);
      await shipBuild(store, build);
    }
    const [current = '', digest = '', previous = '', wanted = '', hosted = '', , old = '', ...newest] =
      digests;
    await shipBuild(store, await makeBuild(desk, 'newest'));
    const place = {
      store,
      project: 'shop',
      clock: { nowMs: () => now.ms },
      listUsed: async () => await Promise.resolve([hosted]),
    };
    await changeRouting(place, () => ({ current, previous, ramp: { digest, percent: 5 } }), { nowMs: 0 });
    await wantBuild(place, wanted, now.ms);
    assert.equal(newest.length, 2);
    assert.deepEqual(await listOldStoredBuilds(place, 7), [old]);

    // It is deployed between the look and the removal.
    await changeRouting(place, () => ({ current: old }), { nowMs: 0 });
    assert.deepEqual(await removeStoredBuilds(place, [old], 7), []);
    await fetchBuild({ store, buildsDir: machine }, old);
    await changeRouting(place, () => ({ current }), { nowMs: 0 });
    now.ms = 100;
    await shipBuild(store, await makeBuild(desk, 'code 6'));
    assert.deepEqual(await removeStoredBuilds(place, [old], 7), [], 'it was deployed again');
    assert.deepEqual(await removeStoredBuilds(place, [old], 101), [old]);
    assert.deepEqual(
      [...store.objects.keys()].filter((key) => key.includes(old)),
      [],
    );
  });
});

describe('anneal gc against a deployment of the same old build at the same time', () => {
  /** The store in the hands of one of both; `next` is called before each of its operations. */
  const inTurns = (store: ArtifactStore, next: () => Promise<void>): ArtifactStore => ({
    ...store,
    putFile: async (key, file) => (await next(), await store.putFile(key, file)),
    putBytes: async (key, bytes, options) => (await next(), await store.putBytes(key, bytes, options)),
    readBytes: async (key) => (await next(), await store.readBytes(key)),
    stat: async (key) => (await next(), await store.stat(key)),
    remove: async (keys) => (await next(), await store.remove(keys)),
    removeAll: async (prefix) => (await next(), await store.removeAll(prefix)),
    list: async function* (prefix) {
      await next();
      yield* store.list(prefix);
    },
  });

  /** Holds one of both before its operation number `at`. */
  const holdBefore = (at: number) => {
    let operations = 0;
    let [hold, release] = [(): void => undefined, (): void => undefined];
    const held = new Promise<void>((resolve) => (hold = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    const next = async () => {
      if (operations++ !== at) return;
      hold();
      await released;
    };
    return { next, held, release, operations: () => operations };
  };

  /** A deployment held before one operation, while a removal comes as far as another; then both go on, the deployment first. */
  const race = async (build: Build, stops: { readonly deployment: number; readonly removal: number }) => {
    const now = { ms: 0 };
    const store = memoryStore(now);
    await shipBuild(store, build);
    now.ms = 100;
    const [deployment, removal] = [holdBefore(stops.deployment), holdBefore(stops.removal)];
    let waits = 0;
    const removed = () => {
      const place = { store: inTurns(store, removal.next), project: 'shop', clock: { nowMs: () => now.ms } };
      const listUsed = async () => await Promise.resolve([]);
      return removeStoredBuilds({ ...place, listUsed }, [build.digest], 50);
    };
    const shipping = inTurns(store, deployment.next);
    const stat: ArtifactStore['stat'] = async (key) => {
      // It looks again and again: it waits for the removal.
      if (waits++ > 5) removal.release();
      return await shipping.stat(key);
    };
    const deployed = deployBuild(
      {
        place: createStorePlace(
          { store: { ...shipping, stat }, project: 'shop' },
          { nowMs: () => now.ms, removal: { pollMs: 0, patienceMs: Infinity } },
        ),
        readServerRouting: async () => (await readDeployments({ store, project: 'shop' }, 0)).routing,
        signal: new AbortController().signal,
        nowMs: () => now.ms,
      },
      build,
    );
    await Promise.race([deployment.held, deployed]);
    const removing = removed();
    await Promise.race([removal.held, removing]);
    deployment.release();
    await deployed;
    removal.release();
    await removing;
    await readWhole(store, build.digest);
    assert.ok(!store.objects.has(`gc/builds/${build.digest}.json`));
    return { deployment: deployment.operations(), removal: removal.operations() };
  };
  const readWhole = async (store: ArtifactStore, digest: string) => {
    const buildsDir = await mkdtemp(path.join(base, 'whole-'));
    await fetchBuild({ store, buildsDir }, digest);
  };

  test('leaves the build whole wherever each of them stops for a while', async () => {
    const build = await makeBuild(desk, 'one');
    const last = { deployment: 0, removal: 0 };
    for (let deployment = 0; deployment <= last.deployment; deployment++)
      for (let removal = 0; removal <= last.removal; removal++) {
        const taken = await race(build, { deployment, removal });
        last.deployment = Math.max(last.deployment, Math.min(taken.deployment, 20));
        last.removal = Math.max(last.removal, taken.removal);
      }
    assert.ok(last.deployment === 20 && last.removal > 5, JSON.stringify(last));
  });

  test('waits no longer than its patience for a removal that was killed', async () => {
    const store = memoryStore();
    const build = await makeBuild(desk, 'one');
    await store.putBytes(`gc/builds/${build.digest}.json`, Buffer.from('{}'));
    await shipBuild(store, build, { pollMs: 1, patienceMs: 3 });
    assert.ok(!store.objects.has(`gc/builds/${build.digest}.json`));
    await fetchBuild({ store, buildsDir: machine }, build.digest);
  });
});

function dyingAfter(store: ArtifactStore, writes: number): ArtifactStore {
  let left = writes;
  const live = () => {
    if (left-- <= 0) throw new Error('killed');
  };
  return {
    ...store,
    putFile: async (key, file) => (live(), await store.putFile(key, file)),
    putBytes: async (key, bytes, options) => (live(), await store.putBytes(key, bytes, options)),
  };
}
