import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createStepCache, type StepCacheDeps } from '../../src/activities/step-cache.js';
import { storeKeys, type ArtifactStore } from '../../src/core/artifact-store.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { cacheKey, type CacheMaterial } from '../../src/core/cache.js';
import type { CacheQuery } from '../../src/core/claims.js';
import { digestOfText } from '../../src/core/digest.js';
import { AnnealError } from '../../src/core/failures.js';
import { buildSucceeded } from '../tracking/fixtures.js';
import { createMemoryStore } from './memory-store.js';

const material: CacheMaterial = {
  step: 'train',
  code: 'c0de',
  env: {},
  outputs: {},
  command: ['train'],
  parameters: { trees: 200 },
  inputs: { data: ['Dataset', 'd1'] },
};
const KEY = cacheKey(material);
const OUTPUT = 'runs/exec-1/attempts/train-a1/outputs/data';
const BYTES = 'churned';

describe('the step cache', () => {
  test('gives the first call the claim and later ones its result', async () => {
    const { ask, finish } = await createWorld();
    assert.deepEqual(await ask('one'), { kind: 'claimed', generation: 1 });
    await finish('one', 1);
    const answer = await ask('two');
    assert.equal(answer.kind, 'hit');
    assert.equal(answer.kind === 'hit' && answer.runId, 'one');
  });

  test('a retried look-up finds the claim that it made', async () => {
    const { ask } = await createWorld();
    await ask('one');
    assert.deepEqual(await ask('one'), { kind: 'claimed', generation: 1 });
  });

  test('another call waits while the claimer lives, and takes the claim over when it does not', async () => {
    const world = await createWorld();
    await world.ask('one');
    assert.deepEqual(await world.ask('two'), { kind: 'busy', generation: 1, runId: 'one' });
    world.dead.add('one');
    assert.deepEqual(await world.ask('two'), { kind: 'claimed', generation: 2 });
    assert.equal((await world.ask('three')).kind, 'busy');
  });

  test('a claimer of whom Temporal cannot tell is taken to live', async () => {
    const { ask } = await createWorld({ isLive: () => Promise.reject(new Error('no connection')) });
    await ask('one');
    assert.equal((await ask('two')).kind, 'busy');
  });

  test('a result that comes while Temporal is asked is taken, though its claimer is gone', async () => {
    const world = await createWorld({
      isLive: async () => {
        await world.finish('one', 1);
        return false;
      },
    });
    await world.ask('one');
    assert.equal((await world.ask('two')).kind, 'hit');
  });

  test('a failed attempt closes its claim, and the next attempt claims again', async () => {
    const { cache, ask } = await createWorld();
    await ask('one');
    await cache.close({ step: 'train', key: KEY, generation: 1 }, 'an attempt of run one failed: StepFailed');
    assert.deepEqual(await ask('one', { attempt: 2 }), { kind: 'claimed', generation: 2 });
  });

  test('the claim of an earlier attempt of the same call does not hold up the next one', async () => {
    const { ask } = await createWorld();
    await ask('one');
    assert.deepEqual(await ask('one', { attempt: 2 }), { kind: 'claimed', generation: 2 });
  });

  test('a call that has waited long enough takes the claim from one that lives', async () => {
    const { ask, cache } = await createWorld();
    await ask('one');
    const forced = await cache.ask(query(), { runId: 'two', epoch: 'two-1' }, { force: true });
    assert.deepEqual(forced, { kind: 'claimed', generation: 2 });
  });

  test('a result that is older than the ttl is made again, and is a hit for whom it is young enough', async () => {
    const world = await createWorld();
    await world.ask('one');
    await world.finish('one', 1);
    world.now += 10_000;
    assert.deepEqual(await world.ask('two', { ttlMs: 9_999 }), { kind: 'claimed', generation: 2 });
    assert.equal((await world.ask('three', { ttlMs: 10_000 })).kind, 'hit');
  });

  test('a refresh makes a new result, and does not take one that was begun before it', async () => {
    const world = await createWorld();
    await world.ask('one');
    await world.finish('one', 1);
    world.now += 10;
    assert.deepEqual(await world.ask('two', { sinceMs: world.now }), { kind: 'claimed', generation: 2 });
    assert.equal((await world.ask('three', { sinceMs: world.now })).kind, 'busy');
    await world.finish('two', 2);
    const answer = await world.ask('three', { sinceMs: world.now });
    assert.equal(answer.kind === 'hit' && answer.runId, 'two');
  });

  for (const [what, damage] of Object.entries({
    'that is gone': (store: ReturnType<typeof createMemoryStore>) => store.objects.delete(OUTPUT),
    'of another size': (store: ReturnType<typeof createMemoryStore>) =>
      store.objects.set(OUTPUT, Buffer.from('churn')),
  }))
    test(`a result with a file ${what} is a miss, is logged, and is replaced`, async () => {
      const world = await createWorld();
      await world.ask('one');
      await world.finish('one', 1);
      damage(world.store);
      assert.deepEqual(await world.ask('two'), { kind: 'claimed', generation: 2 });
      assert.match(world.logged.join(), /step "train" is not used and will be made again: .* run one .*data/);
      await world.store.putBytes(OUTPUT, Buffer.from(BYTES));
      await world.finish('two', 2);
      const answer = await world.ask('three');
      assert.equal(answer.kind === 'hit' && answer.runId, 'two');
    });

  test('where a store keeps no ETags, other contents of the same size are found by a full check only', async () => {
    const world = await createWorld();
    await world.ask('one');
    await world.finish('one', 1);
    assert.equal((await world.ask('two', { verify: 'full' })).kind, 'hit');
    world.store.objects.set(OUTPUT, Buffer.from('CHURNED'));
    assert.equal((await world.ask('two')).kind, 'hit');
    assert.equal((await world.ask('two', { verify: 'full' })).kind, 'claimed');
  });

  test('other contents of the same size are found by the ETags of a store that keeps them', async () => {
    const world = await createWorld({}, {}, createMemoryStore(undefined, { etags: true }));
    await world.ask('one');
    await world.finish('one', 1);
    assert.equal((await world.ask('two')).kind, 'hit');
    world.store.objects.set(OUTPUT, Buffer.from('CHURNED'));
    assert.equal((await world.ask('two')).kind, 'claimed');
    assert.match(world.logged.join(), /have other ETags than when they were stored/);
  });

  test('an entry or a claim that is torn is none', async () => {
    const world = await createWorld();
    await world.ask('one');
    await world.finish('one', 1);
    const prefix = storeKeys.cacheGeneration({ step: 'train', key: KEY, generation: 1 });
    world.store.objects.set(`${prefix}entry.json`, Buffer.from('{"outp'));
    assert.deepEqual(await world.ask('two'), { kind: 'claimed', generation: 2 });
    const second = storeKeys.cacheGeneration({ step: 'train', key: KEY, generation: 2 });
    world.store.objects.set(`${second}claim.json`, Buffer.from('{'));
    assert.deepEqual(await world.ask('three'), { kind: 'claimed', generation: 3 });
  });

  test('a late result of a claimer that was given up does not replace the newer one', async () => {
    const world = await createWorld();
    await world.ask('one');
    world.dead.add('one');
    await world.ask('two');
    await world.finish('two', 2);
    await world.finish('one', 1);
    const answer = await world.ask('three');
    assert.equal(answer.kind === 'hit' && answer.runId, 'two');
  });

  test('a key whose attempts fail again and again keeps a few generations only', async () => {
    const world = await createWorld();
    for (let attempt = 1; attempt <= 20; attempt++) {
      const answer = await world.ask('one', { attempt });
      await world.cache.close({ step: 'train', key: KEY, generation: answer.generation }, 'failed');
    }
    assert.ok(world.store.objects.size <= 14, `${world.store.objects.size} objects`);
    assert.equal((await world.ask('two')).generation, 21);
  });

  test('says when the store does not answer', async () => {
    const memory = createMemoryStore();
    let isGone = false;
    const stat: ArtifactStore['stat'] = async (key) => {
      if (isGone) throw new AnnealError('StoreUnavailable', 'The disk is gone.');
      return await memory.stat(key);
    };
    const { ask, finish } = await createWorld({}, { stat }, memory);
    await ask('one');
    await finish('one', 1);
    isGone = true;
    await assert.rejects(ask('two'), { code: 'StoreUnavailable' });
  });
});

function query(overrides: Partial<CacheQuery> = {}): CacheQuery {
  return { key: KEY, material, pipeline: 'churn', callId: 'call', attempt: 1, ...overrides };
}

async function createWorld(
  deps: Partial<StepCacheDeps> = {},
  broken: Partial<ArtifactStore> = {},
  memory = createMemoryStore(),
) {
  const store = { ...memory, ...broken };
  const dead = new Set<string>();
  const logged: string[] = [];
  await store.putBytes(OUTPUT, Buffer.from(BYTES));
  const world = { now: 1_000, dead, logged, store: memory };
  const cache = createStepCache({
    store,
    clock: { nowMs: () => world.now },
    isLive: ({ runId }) => Promise.resolve(!dead.has(runId)),
    log: (message) => logged.push(message),
    ...deps,
  });
  const data: ArtifactRef<'Dataset'> = {
    kind: 'Dataset',
    uri: store.uriOf(OUTPUT),
    digest: digestOfText(BYTES),
    sizeBytes: BYTES.length,
    form: 'file',
    values: {},
  };
  return Object.assign(world, {
    cache,
    ask: async (runId: string, overrides: Partial<CacheQuery> = {}) =>
      await cache.ask(query({ callId: `call-${runId}`, ...overrides }), { runId, epoch: `${runId}-1` }),
    finish: async (runId: string, generation: number) =>
      await cache.store(
        { step: 'train', key: KEY, generation },
        {
          outcome: { ...buildSucceeded({}), startedAtMs: world.now, outputs: { data } },
          runId,
          executionId: 'exec-1',
          pipeline: 'churn',
        },
      ),
  });
}
