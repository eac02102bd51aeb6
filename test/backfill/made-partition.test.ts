import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createBackfillActivities, recordPartition } from '../../src/activities/backfill.js';
import type { KnownBuild } from '../../src/activities/ports/partition-directory.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { BuildCode, RunParameters } from '../../src/core/made-partition.js';
import type { CallStatus, RunStatus } from '../../src/core/run.js';
import { createContext, createMemoryStore } from '../tracking/fixtures.js';

const CODE: BuildCode = { workflows: 'w1', tasks: 't1', steps: { make: 'm1', other: 'o1' } };
const BUILD: KnownBuild = {
  digest: 'first',
  pipelines: [
    {
      ...{ name: 'daily', tags: [], notify: {} },
      params: { day: { type: 'string' }, mode: { type: 'string', default: 'fast' } },
      partition: { by: 'day', parameter: 'day' },
    },
  ],
  code: CODE,
};

const call = (changes: Partial<CallStatus> = {}): CallStatus => ({
  ...{ id: 'c1', kind: 'step', name: 'make', state: 'succeeded', attempt: 1, startedAtMs: 0 },
  ...changes,
});

/** A project whose only partition a run of the first build has made with one call of step "make". */
async function createWorld(run: Partial<RunStatus> = {}) {
  const store = createMemoryStore();
  const calls = run.calls ?? [call()];
  const made: RunStatus = {
    ...{ runId: 'run-one', executionId: 'exec-one', pipeline: 'daily', project: 'p', build: 'first' },
    ...{ state: 'completed', parameters: { day: '2026-01-01', mode: 'fast' }, partition: '2026-01-01' },
    ...{ startedAtMs: 0, endedAtMs: 1, counts: { succeeded: calls.length }, continuations: 0, approvals: [] },
    ...{ ...run, calls },
  };
  await store.putBytes(storeKeys.run(made.executionId), Buffer.from('{}'));
  await recordPartition({ store, readBuildCode: async () => await Promise.resolve(CODE) }, made);
  return async (now: Partial<KnownBuild> | undefined, params: RunParameters = {}, project = 'p') => {
    const { planPartitions } = createBackfillActivities({
      ...{ project, context: createContext() },
      store: {
        readBytes: store.readBytes,
        stat: async (key) =>
          await Promise.resolve(
            store.objects.has(key)
              ? { key, uri: store.uriOf(key), sizeBytes: 1, modifiedAtMs: 0 }
              : undefined,
          ),
      },
      partitions: {
        look: async () => await Promise.resolve('none'),
        awaitEnd: async () => await Promise.reject(new Error('nothing is waited for')),
        readCurrentBuild: async () => await Promise.resolve(now && { ...BUILD, ...now }),
      },
    });
    const [plan] = await planPartitions({ pipeline: 'daily', keys: ['2026-01-01'], again: false, params });
    return plan?.action;
  };
}

const changed = (code: Partial<BuildCode>): Partial<KnownBuild> => ({
  digest: 'second',
  code: { ...CODE, ...code },
});

describe('a partition that was made', () => {
  test('is left out by the same build, with the same parameters: defaults count as given', async () => {
    const plan = await createWorld();
    assert.equal(await plan({}), 'skip');
    assert.equal(await plan({}, { mode: 'fast' }), 'skip');
  });

  test('is made again with other parameters', async () => {
    const plan = await createWorld();
    assert.equal(await plan({}, { mode: 'thorough' }), 'start');
  });

  test('is made again where a default has changed, or nothing tells what there is now', async () => {
    const plan = await createWorld();
    const [daily] = BUILD.pipelines;
    assert.ok(daily);
    const params = { ...daily.params, mode: { type: 'string', default: 'thorough' } } as const;
    assert.equal(await plan({ pipelines: [{ ...daily, params }] }), 'start');
    assert.equal(await plan(undefined), 'start');
  });

  test('is left out by a build in which only steps of other pipelines have changed', async () => {
    const plan = await createWorld();
    assert.equal(await plan(changed({ tasks: 't2', steps: { make: 'm1', other: 'o2' } })), 'skip');
  });

  test('is made again where a step that it called has changed, or the workflow code', async () => {
    const plan = await createWorld();
    assert.equal(await plan(changed({ steps: { make: 'm2', other: 'o1' } })), 'start');
    assert.equal(await plan(changed({ workflows: 'w2' })), 'start');
  });

  test('is made again where a task has changed, if its run called one', async () => {
    const plan = await createWorld({ calls: [call(), call({ id: 'c2', kind: 'task', name: 'load' })] });
    assert.equal(await plan(changed({ tasks: 't2' })), 'start');
  });

  test('counts all steps as its own where its run does not say which it called', async () => {
    for (const run of [
      { calls: [call({ kind: 'pipeline', name: 'child' })] },
      { counts: { succeeded: 1_000 } },
      { calls: [call({ name: 'made in the first round' })] },
    ]) {
      const plan = await createWorld(run);
      assert.equal(await plan(changed({ steps: { make: 'm1', other: 'o2' } })), 'start');
      assert.equal(await plan(changed({})), 'skip');
    }
  });

  test('says the step of a call that has a name of its own', async () => {
    const plan = await createWorld({ calls: [call({ name: 'first round', cache: { step: 'make' } })] });
    assert.equal(await plan(changed({ steps: { make: 'm1', other: 'o2' } })), 'skip');
  });

  test('is of its project: another one in the same store makes its own', async () => {
    const plan = await createWorld();
    assert.equal(await plan({}, {}, 'another'), 'start');
  });
});
