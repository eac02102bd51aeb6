import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCloseRun } from '../../src/activities/close-run.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { RunState, RunStatus } from '../../src/core/run.js';
import type { Fault } from './fake-mlflow.js';
import { createContext, createMemoryStore, withMlflow } from './fixtures.js';

const INPUT = {
  pipeline: 'churn-training',
  executionId: 'exec-1',
  parameters: { table: 'mlc_churn', threshold: 0.85 },
  tags: ['nightly'],
  owner: 'ml-team',
  build: 'b1',
};
const DEPS = { project: 'churn', temporalUiUrl: 'http://ui:8233', context: createContext() };

describe('opening the tracking of a run', () => {
  test('makes the experiment and a parent run with links and parameters', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const { openTracking } = createTrackingActivities({
        ...DEPS,
        tracking,
        clock,
        readCode: async () => ({
          origin: { commit: 'abc', branch: 'main', repositoryUrl: 'https://git.example/churn', dirty: true },
        }),
      });
      const opened = await openTracking(INPUT);
      const run = fake.state.runs[0];
      assert.equal(run?.info.run_id, opened.parentRunId);
      assert.equal(run.info.run_name, 'nightly/1');
      assert.deepEqual(Object.fromEntries(run.params), { table: 'mlc_churn', threshold: '0.85' });
      const url = 'http://ui:8233/namespaces/default/workflows/nightly%2F1/epoch-1/history';
      assert.equal(run.tags.get('temporal.workflow_url'), url);
      assert.match(
        run.tags.get('mlflow.note.content') ?? '',
        new RegExp(`\\(${url.replaceAll('.', '\\.')}\\)`),
      );
      assert.equal(run.tags.get('mlflow.source.type'), 'JOB');
      assert.equal(run.tags.get('mlflow.user'), 'ml-team');
      assert.equal(run.tags.get('mlflow.source.git.commit'), 'abc');
      assert.equal(run.tags.get('mlflow.source.git.branch'), 'main');
      assert.equal(run.tags.get('mlflow.source.git.repoURL'), 'https://git.example/churn');
      assert.equal(run.tags.get('mlflow.source.git.dirty'), 'true');
      assert.equal(
        fake.state.experiments.get('churn-training')?.tags.get('mlflow.experimentKind'),
        'custom_model_development',
      );
    }));

  for (const fault of [
    'drop-before',
    'drop-after',
    '500-before',
    '500-after',
    'hang-before',
    'hang-after',
  ] satisfies Fault[]) {
    test(`makes exactly one parent run when the create meets ${fault}`, () =>
      withMlflow(async ({ fake, tracking, clock }) => {
        fake.fail('POST runs/create', fault);
        const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
        const { parentRunId } = await openTracking(INPUT);
        assert.deepEqual(fake.happened, [`POST runs/create ${fault}`]);
        assert.deepEqual(
          fake.state.runs.map(({ info }) => info.run_id),
          [parentRunId],
        );
      }));

    test(`makes exactly one experiment when the create meets ${fault}`, () =>
      withMlflow(async ({ fake, tracking, clock }) => {
        fake.fail('POST experiments/create', fault);
        await createTrackingActivities({ ...DEPS, tracking, clock }).openTracking(INPUT);
        assert.equal(fake.happened.length, 1);
        assert.equal(fake.state.experiments.size, 1);
      }));
  }

  test('answers with the same run when it is asked again, by a retry or after a reset with other parameters', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
      const first = await openTracking(INPUT);
      assert.deepEqual(await openTracking({ ...INPUT, parameters: { table: 'wa_churn', added: 1 } }), first);
      assert.deepEqual(Object.fromEntries(fake.state.runs[0]?.params ?? []), {
        table: 'mlc_churn',
        threshold: '0.85',
        added: '1',
      });
    }));

  test('closes a double whose create was carried out late, and keeps the one in use', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      fake.fail('POST runs/create', 'late');
      const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
      const { parentRunId } = await openTracking(INPUT);
      fake.commitLate();
      assert.equal(fake.state.runs.length, 2);
      assert.equal((await openTracking(INPUT)).parentRunId, parentRunId);
      const open = fake.state.runs.filter(({ info }) => info.status === 'RUNNING');
      assert.deepEqual(
        open.map(({ info }) => info.run_id),
        [parentRunId],
      );
    }));

  test('fails clearly when a deleted experiment holds the name', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      fake.state.experiments.set('churn-training', {
        experiment_id: '7',
        name: 'churn-training',
        lifecycle_stage: 'deleted',
        tags: new Map(),
      });
      const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
      await assert.rejects(openTracking(INPUT), {
        code: 'TrackingRefused',
        message: /"churn-training" is deleted .* restore -x 7/,
      });
    }));

  for (const [fault, message] of [
    ['host-refused', /--allowed-hosts/],
    ['401', /MLFLOW_TRACKING_USERNAME|credentials/],
  ] as const) {
    test(`does not wait for a server that refuses (${fault})`, () =>
      withMlflow(async ({ fake, tracking, clock }) => {
        fake.fail('GET experiments/get-by-name', fault);
        const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
        await assert.rejects(openTracking(INPUT), { code: 'TrackingRefused', message });
        assert.equal(fake.calls.length, 1);
      }));
  }

  test('waits for a server that is away, and gives up after its patience', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const startedAtMs = clock.nowMs();
      fake.fail('*', ...Array.from({ length: 200 }, (): Fault => '500-before'));
      const { openTracking } = createTrackingActivities({ ...DEPS, tracking, clock });
      await assert.rejects(openTracking(INPUT), { code: 'TrackingUnavailable', message: /10m 00s/ });
      assert.equal(clock.nowMs() - startedAtMs, 600_000);
    }));

  test('stops waiting when it is cancelled', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const cancel = new AbortController();
      fake.fail('*', 'hang-before');
      const { openTracking } = createTrackingActivities({
        ...DEPS,
        context: createContext({ signal: cancel.signal }),
        tracking,
        clock,
      });
      const opening = openTracking(INPUT);
      cancel.abort(new Error('cancelled by the user'));
      await assert.rejects(opening, /cancelled by the user/);
    }));
});

describe('closing a run', () => {
  const status = (tracking: RunStatus['tracking']): RunStatus => ({
    runId: 'nightly/1',
    executionId: 'exec-1',
    pipeline: 'churn-training',
    project: 'churn',
    build: 'b1',
    state: 'running',
    parameters: {},
    startedAtMs: 1,
    endedAtMs: 5_000,
    calls: [],
    counts: {},
    continuations: 0,
    approvals: [],
    ...(tracking === undefined ? {} : { tracking }),
  });
  const EXPECTED = {
    completed: 'FINISHED',
    'not-promoted': 'FINISHED',
    failed: 'FAILED',
    'timed-out': 'FAILED',
    cancelled: 'KILLED',
    terminated: 'KILLED',
  } as const;

  for (const [state, expected] of Object.entries(EXPECTED)) {
    test(`of state ${state} leaves its parent run ${expected}, nothing RUNNING, and a record in the store`, () =>
      withMlflow(async ({ fake, tracking, clock }) => {
        const store = createMemoryStore();
        const { parentRunId, experimentId } = await createTrackingActivities({
          ...DEPS,
          tracking,
          clock,
        }).openTracking(INPUT);
        const tags = { 'anneal.execution_id': 'exec-1' };
        await tracking.ensureRun(
          { experimentId, key: 'left', name: 'train', parentRunId, startedAtMs: 1, tags },
          DEPS.context().signal,
        );
        const { closeRun } = createCloseRun({ store, tracking, clock, context: DEPS.context });
        fake.fail('POST runs/update', 'drop-before', 'drop-after');
        await closeRun({ status: status({ experimentId, runId: parentRunId }), state: state as RunState });
        await closeRun({ status: status({ experimentId, runId: parentRunId }), state: state as RunState });
        assert.deepEqual(
          fake.state.runs.map(({ info }) => info.status),
          [expected, 'KILLED'],
        );
        assert.ok(fake.state.runs.every(({ info }) => info.end_time === 5_000));
        const record = JSON.parse(
          Buffer.from(store.objects.get(storeKeys.run('exec-1')) ?? []).toString(),
        ) as RunStatus;
        assert.equal(record.state, state);
      }));
  }

  test('closes the run of a step as the step ended, where its worker could not', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const { parentRunId, experimentId } = await createTrackingActivities({
        ...DEPS,
        tracking,
        clock,
      }).openTracking(INPUT);
      const tags = { 'anneal.execution_id': 'exec-1' };
      const calls: RunStatus['calls'][number][] = [];
      for (const state of ['succeeded', 'failed', 'cancelled'] as const) {
        const step = { experimentId, key: state, name: state, parentRunId, startedAtMs: 1, tags };
        const { runId: trackingRunId } = await tracking.ensureRun(step, DEPS.context().signal);
        calls.push({
          id: state,
          kind: 'step',
          name: state,
          state,
          attempt: 1,
          startedAtMs: 1,
          trackingRunId,
        });
      }
      const { closeRun } = createCloseRun({
        store: createMemoryStore(),
        tracking,
        clock,
        context: DEPS.context,
      });
      await closeRun({ status: { ...status({ experimentId, runId: parentRunId }), calls }, state: 'failed' });
      const ended = fake.state.runs.map(({ info }) => info.status);
      assert.deepEqual(ended, ['FAILED', 'FINISHED', 'FAILED', 'KILLED']);
    }));

  test('ends as it ended though its MLflow run was deleted, which is logged', () =>
    withMlflow(async ({ tracking, clock }) => {
      const store = createMemoryStore();
      const logged: string[] = [];
      const log = (message: string) => void logged.push(message);
      const { closeRun } = createCloseRun({ store, tracking, clock, context: DEPS.context, log });
      await closeRun({ status: status({ experimentId: '1', runId: 'deleted' }), state: 'completed' });
      assert.ok(store.objects.has('runs/exec-1/run.json'));
      assert.match(logged.join(), /could not be closed: .*deleted/);
    }));

  test('that is not tracked writes its record, and where to find it by its id', async () => {
    const store = createMemoryStore();
    const { closeRun } = createCloseRun({ store, clock: { nowMs: () => 9 }, context: DEPS.context });
    await closeRun({ status: status(undefined), state: 'completed' });
    assert.deepEqual(
      [...store.objects.keys()],
      ['runs/exec-1/run.json', 'lineage/runs/nightly%2F1/exec-1.json'],
    );
  });
});
