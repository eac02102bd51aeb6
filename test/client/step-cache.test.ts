import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Client } from '@temporalio/client';
import { createStepCache } from '../../src/activities/step-cache.js';
import { createAnnealClient } from '../../src/client/index.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { cacheKey, type CacheMaterial } from '../../src/core/cache.js';
import type { CallStatus } from '../../src/core/run.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { call, report } from '../cli/fake-cli.js';
import { buildSucceeded } from '../tracking/fixtures.js';

describe('the cache as a client sees it', () => {
  test('says what made a step run again: the file of its code, the parameter, the input', async () => {
    const world = createWorld();
    await world.finish('one', {});
    await world.finish('two', { parameters: { trees: 5 }, inputs: { data: ['Dataset', 'd2'] } });
    for (const [part, change, files] of [
      ['code features.py', { code: 'c2' }, { 'features.py': 'edited' }],
      ['parameter trees', { parameters: { trees: 300 } }, undefined],
      ['input data', { inputs: { data: ['Dataset', 'd3'] } }, undefined],
    ] as const) {
      const asked = await world.finish(part, change, files);
      const [explanation] = await world.why(asked);
      assert.equal(explanation?.verdict, 'miss');
      assert.equal(explanation?.nearest?.runId, 'one', part);
      assert.deepEqual(
        explanation?.changes?.map((each) => each.part),
        [part],
      );
      await world.client.cache.clear({ pipeline: part });
    }
  });

  test('says of a hit whose result it is', async () => {
    const world = createWorld();
    await world.finish('one', {});
    const hit = await world.finish('two', {});
    const [explanation] = await world.why({ ...hit, state: 'cached' });
    assert.equal(explanation?.verdict, 'hit');
    assert.match(explanation?.reason ?? '', /all components of its key are those of run one/);
  });

  test('says that a result of the same key was too old', async () => {
    const world = createWorld();
    await world.finish('one', {});
    world.now += 1_000;
    const [explanation] = await world.why(await world.finish('two', {}, undefined, 10));
    assert.match(
      explanation?.reason ?? '',
      /the same key before, but the result of run one was older than its ttl/,
    );
  });

  test('says that it is the first, or that the cache was not asked and why', async () => {
    const world = createWorld();
    const [first] = await world.why(await world.finish('one', {}));
    assert.match(first?.reason ?? '', /no earlier result of step "features"/);
    const [off] = await world.why(
      call({ name: 'features', state: 'succeeded', cache: { step: 'features', off: 'it is off' } }),
    );
    assert.deepEqual(off, { call: 'features', verdict: 'none', reason: 'it is off' });
    const twice = await world.why(
      call({
        name: 'features',
        state: 'succeeded',
        cache: { step: 'features', off: 'its image is not known' },
      }),
      call({ name: 'features 2', state: 'succeeded', cache: { step: 'features' } }),
    );
    assert.deepEqual(
      twice.map(({ reason }) => reason),
      ['its image is not known', 'its image is not known'],
    );
    const [never] = await world.why(call({ name: 'features', state: 'succeeded' }));
    assert.match(never?.reason ?? '', /has no cache/);
    await assert.rejects(world.why(call({ name: 'other', state: 'succeeded' })), {
      code: 'InvalidInput',
      message: /no call of step "features"; it shows other/,
    });
  });

  test('lists results and takes them out, but leaves open claims', async () => {
    const world = createWorld();
    await world.finish('one', {});
    await world.finish('two', { parameters: { trees: 1 } });
    await world.ask('three', { parameters: { trees: 2 } });
    const listed = await world.client.cache.list();
    assert.deepEqual(
      listed.map(({ step, runId, pipeline }) => [step, runId, pipeline]),
      [
        ['features', 'two', 'two'],
        ['features', 'one', 'one'],
      ],
    );
    assert.equal((await world.client.cache.clear({ pipeline: 'one' }, { dryRun: true })).length, 1);
    assert.equal((await world.client.cache.list()).length, 2);
    await world.client.cache.clear({ step: 'features', pipeline: 'one' });
    assert.deepEqual(
      (await world.client.cache.list()).map((each) => each.runId),
      ['two'],
    );
    await world.client.cache.clear();
    assert.deepEqual(await world.client.cache.list(), []);
    assert.equal(world.store.objects.size, 1, 'the open claim');
  });
});

function createWorld() {
  const store = createMemoryStore();
  const base: CacheMaterial = {
    step: 'features',
    code: 'c1',
    env: {},
    outputs: {},
    command: ['python', 'features.py'],
    parameters: { trees: 200 },
    inputs: { data: ['Dataset', 'd1'] },
  };
  let files = { 'features.py': 'f1' };
  const world = { now: 1_000 };
  const cache = createStepCache({
    store,
    clock: { nowMs: () => ++world.now },
    isLive: () => Promise.resolve(true),
    codeFilesOf: () => files,
  });
  const temporal: Client = Object.assign(Object.create(null), {
    workflow: {
      getHandle: () => ({
        describe: () =>
          Promise.resolve({
            workflowId: 'churn-1',
            runId: 'exec-1',
            type: 'churn-training',
            startTime: new Date(0),
            closeTime: new Date(1),
            status: { name: 'COMPLETED' },
            searchAttributes: { AnnealStatus: ['completed'] },
            raw: { workflowExecutionInfo: { firstRunId: 'exec-1' } },
          }),
      }),
    },
    withDeadline: async <T>(_deadline: unknown, work: () => Promise<T>) => await work(),
  });
  const client = createAnnealClient({ temporal, project: 'shop', store });
  const ask = async (runId: string, change: Partial<CacheMaterial>, ttlMs?: number) => {
    const material = { ...base, ...change };
    const key = cacheKey(material);
    const query = { key, material, pipeline: runId, callId: runId, attempt: 1 };
    const answer = await cache.ask(
      { ...query, ...(ttlMs === undefined ? {} : { ttlMs }) },
      { runId, epoch: runId },
    );
    return { step: 'features', key, generation: answer.generation };
  };
  return Object.assign(world, {
    client,
    store,
    ask,
    /** A run whose step is asked for and, where the cache has no result, made. */
    finish: async (
      runId: string,
      change: Partial<CacheMaterial>,
      code = { 'features.py': 'f1' },
      ttlMs?: number,
    ): Promise<CallStatus> => {
      files = code;
      const slot = await ask(runId, change, ttlMs);
      const outcome = { ...buildSucceeded({}), outputs: {} };
      await cache.store(slot, { outcome, runId, executionId: runId, pipeline: runId });
      return call({ name: 'features', state: 'succeeded', cache: slot });
    },
    why: async (...asked: CallStatus[]) => {
      const record = report({ calls: asked });
      store.objects.set(storeKeys.run('exec-1'), Buffer.from(JSON.stringify(record)));
      const explained = await client.cache.why('churn-1', 'features');
      store.objects.delete(storeKeys.run('exec-1'));
      return explained;
    },
  });
}
