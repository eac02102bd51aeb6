import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCloseRun } from '../../src/activities/close-run.js';
import { createStepTracking } from '../../src/activities/tracking-step.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { Manifest } from '../../src/core/artifacts.js';
import type { CallStatus, RunStatus } from '../../src/core/run.js';
import type { Fault } from './fake-mlflow.js';
import { buildRequest, buildSucceeded, createContext, createMemoryStore, withMlflow } from './fixtures.js';

const context = createContext();
type Parts = Parameters<Parameters<typeof withMlflow>[0]>[0];

/** A tracked run with a store, and its closing. */
async function withRun(
  use: (
    parts: Parts & {
      readonly store: ReturnType<typeof createMemoryStore>;
      readonly opened: { readonly experimentId: string; readonly parentRunId: string };
      readonly close: (calls: readonly CallStatus[], changes?: Partial<RunStatus>) => Promise<void>;
    },
  ) => Promise<void>,
): Promise<void> {
  await withMlflow(async (parts) => {
    const store = createMemoryStore();
    const { openTracking } = createTrackingActivities({ ...parts, context, project: 'churn' });
    const opened = await openTracking({
      pipeline: 'churn-training',
      executionId: 'exec-1',
      parameters: {},
      tags: [],
      build: 'b1',
    });
    const { closeRun } = createCloseRun({ ...parts, store, context });
    const close = async (calls: readonly CallStatus[], changes: Partial<RunStatus> = {}) =>
      await closeRun({
        status: {
          runId: 'nightly/1',
          executionId: 'exec-1',
          pipeline: 'churn-training',
          project: 'churn',
          build: 'b1',
          state: 'completed',
          parameters: {},
          startedAtMs: 1,
          endedAtMs: 9_000,
          calls,
          counts: {},
          continuations: 0,
          approvals: [],
          tracking: { experimentId: opened.experimentId, runId: opened.parentRunId },
          ...changes,
        },
        state: 'completed',
      });
    await use({ ...parts, store, opened, close });
  });
}

function callOf(changes: Partial<CallStatus>): CallStatus {
  return {
    id: 'c0ffee',
    kind: 'step',
    name: 'train',
    state: 'succeeded',
    attempt: 1,
    startedAtMs: 1_000,
    endedAtMs: 2_000,
    ...changes,
  };
}

async function storeManifest(
  store: ReturnType<typeof createMemoryStore>,
  { executionId, attempt }: { readonly executionId: string; readonly attempt: string },
): Promise<void> {
  const { outputs } = buildSucceeded({ f1: 0.94, verdict: 'good' });
  const manifest: Manifest = {
    version: 1,
    attempt,
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, ref]) => [name, { ...ref, files: [] }])),
    parameters: {},
    startedAtMs: 1_000,
    endedAtMs: 2_000,
  };
  await store.putBytes(storeKeys.manifest(executionId, attempt), Buffer.from(JSON.stringify(manifest)));
}

describe('closing a run whose worker adopted an attempt while MLflow was away', () => {
  const openStep = async ({ opened, ...parts }: Parts & { readonly opened: Parameters<typeof idsOf>[0] }) => {
    const steps = createStepTracking({ ...parts, context });
    const step = await steps.openStepRun({
      request: buildRequest({ tracking: idsOf(opened) }),
      name: 'train-a1',
      runId: 'nightly/1',
    });
    assert.ok(step);
    return step.runId;
  };
  const idsOf = ({ experimentId, parentRunId }: { experimentId: string; parentRunId: string }) => ({
    experimentId,
    parentRunId,
  });

  test('ends the run of a step that succeeded as FINISHED, with its metrics, and what it left open as KILLED', () =>
    withRun(async (parts) => {
      const { fake, tracking, opened, store, close } = parts;
      const runId = await openStep(parts);
      const native = await tracking.ensureRun(
        {
          experimentId: opened.experimentId,
          key: 'native',
          name: 'native',
          startedAtMs: 1,
          tags: { 'anneal.execution_id': 'exec-1', 'anneal.call_id': 'c0ffee' },
        },
        context().signal,
      );
      await storeManifest(store, { executionId: 'exec-1', attempt: 'train-a1' });
      await close([callOf({ attemptName: 'train-a1' })]);
      const step = fake.state.runs.find(({ info }) => info.run_id === runId);
      assert.equal(step?.info.status, 'FINISHED');
      assert.equal(step.info.end_time, 2_000);
      assert.deepEqual(
        step.metrics.map(({ key, value }) => [key, value]),
        [['f1', 0.94]],
      );
      assert.equal(step.tags.get('verdict'), 'good');
      assert.equal(fake.state.runs.find(({ info }) => info.run_id === native.runId)?.info.status, 'KILLED');
    }));

  test('ends the run of a step that failed as FAILED, also where an earlier attempt left a manifest', () =>
    withRun(async (parts) => {
      const runId = await openStep(parts);
      await storeManifest(parts.store, { executionId: 'exec-1', attempt: 'train-a1' });
      await parts.close([callOf({ state: 'failed', attemptName: 'train-a2' })]);
      const step = parts.fake.state.runs.find(({ info }) => info.run_id === runId);
      assert.equal(step?.info.status, 'FAILED');
      assert.equal(step.metrics.length, 0);
    }));

  for (const [manifest, expected] of [
    [true, 'FINISHED'],
    [false, 'KILLED'],
  ] as const)
    test(`ends the run of a call that the record no longer lists as ${expected} ${manifest ? 'by' : 'without'} its manifest`, () =>
      withRun(async (parts) => {
        const runId = await openStep(parts);
        if (manifest) await storeManifest(parts.store, { executionId: 'exec-1', attempt: 'train-a1' });
        await parts.close([]);
        const step = parts.fake.state.runs.find(({ info }) => info.run_id === runId);
        assert.equal(step?.info.status, expected);
      }));
});

describe('closing a run with cached calls', () => {
  const cachedFrom = {
    runId: 'nightly/0',
    executionId: 'exec-0',
    tracking: { experimentId: '1', runId: 'origin' },
  };
  const hit = (id: string) =>
    callOf({ id, name: `step-${id}`, state: 'cached', attemptName: 'train-a1', cachedFrom });

  test('makes one FINISHED run for each, with metrics and origin, however often it is repeated', () =>
    withRun(async ({ fake, opened, store, close }) => {
      await storeManifest(store, { executionId: 'exec-0', attempt: 'train-a1' });
      for (let i = 0; i < 2; i++) await close([hit('a'), hit('b')], { counts: { cached: 2 } });
      const [parent, ...runs] = fake.state.runs;
      assert.deepEqual(runs.map(({ info }) => [info.run_name, info.status, info.end_time]).sort(), [
        ['step-a', 'FINISHED', 2_000],
        ['step-b', 'FINISHED', 2_000],
      ]);
      for (const { tags, metrics } of runs) {
        assert.equal(tags.get('mlflow.parentRunId'), opened.parentRunId);
        assert.equal(tags.get('anneal.cached'), 'true');
        assert.equal(tags.get('anneal.cached_from.run_id'), 'nightly/0');
        assert.equal(tags.get('anneal.cached_from.mlflow_run_id'), 'origin');
        assert.deepEqual(
          metrics.map(({ key, value }) => [key, value]),
          [['f1', 0.94]],
        );
      }
      assert.equal(parent?.tags.get('anneal.cached_calls'), '2');
      assert.equal(parent.info.status, 'FINISHED');
    }));

  for (const fault of ['drop-after', '500-after', 'hang-after'] satisfies Fault[])
    test(`makes exactly one when the create meets ${fault}`, () =>
      withRun(async ({ fake, close }) => {
        fake.fail('POST runs/create', fault);
        await close([hit('a')]);
        assert.deepEqual(fake.happened, [`POST runs/create ${fault}`]);
        assert.equal(fake.state.runs.length, 2);
      }));

  test('ends as FINISHED with metrics what a broken-off closing left RUNNING', () =>
    withRun(async ({ fake, store, close, tracking, opened }) => {
      await storeManifest(store, { executionId: 'exec-0', attempt: 'train-a1' });
      await tracking.ensureRun(
        {
          experimentId: opened.experimentId,
          key: 'exec-1/a',
          name: 'step-a',
          startedAtMs: 1,
          tags: { 'anneal.execution_id': 'exec-1', 'anneal.call_id': 'a' },
        },
        context().signal,
      );
      await close([hit('a')]);
      assert.deepEqual(
        fake.state.runs.map(({ info, metrics }) => [info.status, metrics.length]),
        [
          ['FINISHED', 0],
          ['FINISHED', 1],
        ],
      );
    }));

  test('makes 100 at most and says so', () =>
    withRun(async ({ fake, close }) => {
      const calls = Array.from({ length: 120 }, (_, i) => hit(String(i)));
      await close(calls, { counts: { cached: 250 } });
      // A busy machine may answer a create too late: the double is closed as one.
      const kept = fake.state.runs.filter(({ tags }) => !tags.has('anneal.duplicate_of'));
      assert.equal(kept.length, 101);
      assert.equal(
        fake.state.runs[0]?.tags.get('anneal.cached_calls'),
        '250, of which 100 have runs of their own here',
      );
    }));
});
