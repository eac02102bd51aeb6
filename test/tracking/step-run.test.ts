import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createStepTracking } from '../../src/activities/tracking-step.js';
import type { Fault } from './fake-mlflow.js';
import { buildFailed, buildRequest, buildSucceeded, createContext, withMlflow } from './fixtures.js';

const DEPS = { context: createContext(), temporalUiUrl: 'http://ui:8233' };
const OPENING = { request: buildRequest(), name: 'train-x-a1', runId: 'nightly/1' };
const SECOND = { request: buildRequest({ attempt: 2 }), name: 'train-x-a2', runId: 'nightly/1' };
const curve = (...steps: number[]) =>
  steps.map((step) => ({ name: 'loss', value: 1 / step, step, timestampMs: 10_000 + step }));

describe('tracking a step', () => {
  test('makes a nested run and the environment for its command', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const opened = await createStepTracking({ ...DEPS, tracking, clock }).openStepRun(OPENING);
      const run = fake.state.runs[0];
      assert.equal(opened?.runId, run?.info.run_id);
      assert.equal(run?.tags.get('mlflow.parentRunId'), 'parent');
      assert.equal(run.info.run_name, 'train');
      assert.deepEqual(Object.fromEntries(run.params), { trees: '200', rate: '0.1' });
      const { MLFLOW_RUN_CONTEXT: context, ...environment } = opened?.environment ?? {};
      assert.deepEqual(environment, { MLFLOW_TRACKING_URI: fake.url, MLFLOW_EXPERIMENT_ID: '1' });
      const tags = JSON.parse(context ?? '') as { [name: string]: string };
      assert.equal(tags['mlflow.parentRunId'], opened?.runId);
      assert.equal(tags['anneal.call_id'], 'c0ffee');
    }));

  test('gives the run itself to a command that continues it, and leaves the parameters to the command', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const request = buildRequest({ mlflow: 'resume' });
      const opened = await createStepTracking({ ...DEPS, tracking, clock }).openStepRun({
        ...OPENING,
        request,
      });
      assert.equal(opened?.environment['MLFLOW_RUN_ID'], opened?.runId);
      assert.equal(fake.state.runs[0]?.params.size, 0);
    }));

  test('logs what its attempts cost together, each once', () =>
    withMlflow(async ({ tracking, clock }) => {
      const steps = createStepTracking({ ...DEPS, tracking, clock });
      const request = buildRequest({ pricePerHour: 3_600 });
      const opened = await steps.openStepRun({ ...OPENING, request });
      const trackingRunId = opened?.runId ?? '';
      const outcome = { ...buildFailed(), startedAtMs: 1_000, endedAtMs: 3_500 };
      await steps.closeStepRun({ request, trackingRunId, outcome });
      await steps.closeStepRun({ request, trackingRunId, outcome });
      await steps.closeStepRun({ request: { ...request, attempt: 2 }, trackingRunId, outcome });
      const { latest } = await tracking.getRun(trackingRunId, DEPS.context().signal);
      assert.deepEqual(latest['anneal.cost'], { value: 5, step: 2 });
      const free = buildRequest({ callId: 'f00d' });
      const other = await steps.openStepRun({ ...OPENING, request: free });
      await steps.closeStepRun({ request: free, trackingRunId: other?.runId ?? '', outcome });
      assert.equal(
        (await tracking.getRun(other?.runId ?? '', DEPS.context().signal)).latest['anneal.cost'],
        undefined,
      );
    }));

  test('does nothing in a run that is not tracked', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const { tracking: _, ...request } = buildRequest();
      assert.equal(
        await createStepTracking({ ...DEPS, tracking, clock }).openStepRun({ ...OPENING, request }),
        undefined,
      );
      assert.deepEqual(fake.calls, []);
    }));

  for (const fault of [
    'drop-before',
    'drop-after',
    '500-before',
    '500-after',
    'hang-before',
    'hang-after',
  ] satisfies Fault[]) {
    test(`makes exactly one run when the create meets ${fault}`, () =>
      withMlflow(async ({ fake, tracking, clock }) => {
        fake.fail('POST runs/create', fault);
        await createStepTracking({ ...DEPS, tracking, clock }).openStepRun(OPENING);
        assert.equal(fake.happened.length, 1);
        assert.equal(fake.state.runs.length, 1);
      }));
  }

  test('opens the run again for a later attempt, and one of its own for another call', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const steps = createStepTracking({ ...DEPS, tracking, clock });
      const first = await steps.openStepRun(OPENING);
      await steps.closeStepRun({
        request: OPENING.request,
        trackingRunId: first?.runId ?? '',
        outcome: buildFailed(),
      });
      assert.equal(fake.state.runs[0]?.info.status, 'FAILED');
      assert.equal((await steps.openStepRun(SECOND))?.runId, first?.runId);
      assert.equal(fake.state.runs[0]?.info.status, 'RUNNING');
      assert.equal(fake.state.runs[0]?.tags.get('anneal.attempt'), '2');
      const other = await steps.openStepRun({
        ...OPENING,
        request: buildRequest({ callId: 'beef', index: 1 }),
      });
      assert.notEqual(other?.runId, first?.runId);
      assert.equal(fake.state.runs[1]?.info.run_name, 'train 2');
    }));

  test('logs each step of a curve once over attempts, workers and lost answers', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const first = createStepTracking({ ...DEPS, tracking, clock });
      const { runId = '' } = (await first.openStepRun(OPENING)) ?? {};
      await first.logPoints(runId, curve(20, 40));
      fake.fail('POST runs/log-batch', 'drop-after', '500-after');
      await first.logPoints(runId, curve(60));
      // The worker dies; its successor adopts the attempt and reads the stream from its beginning.
      const second = createStepTracking({ ...DEPS, tracking, clock });
      assert.equal((await second.openStepRun(OPENING))?.runId, runId);
      await second.logPoints(runId, curve(20, 40, 60, 80));
      // The attempt dies; the next one resumes from the checkpoint at 60 trees, with a clock of its own.
      await second.openStepRun(SECOND);
      const resumed = curve(80, 100).map((point) => ({ ...point, timestampMs: point.timestampMs + 7 }));
      await second.logPoints(runId, resumed);
      assert.equal(fake.happened.length, 2);
      assert.deepEqual(
        fake.state.runs[0]?.metrics.map(({ step }) => step),
        [20, 40, 60, 80, 100],
      );
    }));

  test('knows where earlier attempts ended without having opened the run', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const first = createStepTracking({ ...DEPS, tracking, clock });
      const { runId = '' } = (await first.openStepRun(OPENING)) ?? {};
      await first.logPoints(runId, curve(20, 40));
      await first.openStepRun(SECOND);
      await createStepTracking({ ...DEPS, tracking, clock }).logPoints(runId, curve(40, 60));
      assert.deepEqual(
        fake.state.runs[0]?.metrics.map(({ step }) => step),
        [20, 40, 60],
      );
    }));

  test('writes metrics, digests and status at the end, once', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const steps = createStepTracking({ ...DEPS, tracking, clock });
      const { runId = '' } = (await steps.openStepRun(OPENING)) ?? {};
      await steps.logPoints(runId, curve(20, 40));
      const closing = {
        request: OPENING.request,
        trackingRunId: runId,
        outcome: buildSucceeded({ f1: 0.94, loss: 1 / 40, grade: 'good' }),
      };
      await steps.closeStepRun(closing);
      await steps.closeStepRun(closing);
      const run = fake.state.runs[0];
      assert.deepEqual(
        run?.metrics.map(({ key, step }) => `${key}@${step}`),
        ['loss@20', 'loss@40', 'f1@0'],
      );
      assert.equal(run.tags.get('grade'), 'good');
      assert.equal(run.tags.get('anneal.output.metrics'), 'd2');
      assert.deepEqual([run.info.status, run.info.end_time], ['FINISHED', 2_000]);
    }));

  test('closes what a killed command left RUNNING below its run, and nothing else', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const steps = createStepTracking({ ...DEPS, tracking, clock });
      const opened = await steps.openStepRun(OPENING);
      const other = await steps.openStepRun({ ...OPENING, request: buildRequest({ callId: 'beef' }) });
      const tags = JSON.parse(opened?.environment['MLFLOW_RUN_CONTEXT'] ?? '') as { [name: string]: string };
      const { signal } = DEPS.context();
      const native = await tracking.ensureRun(
        { experimentId: '1', key: 'native', name: 'native', startedAtMs: 5, tags },
        signal,
      );
      await steps.closeStepRun({
        request: OPENING.request,
        trackingRunId: opened?.runId ?? '',
        outcome: { kind: 'cancelled', endedAtMs: 9_000 },
      });
      const status = (id: string | undefined) =>
        fake.state.runs.find(({ info }) => info.run_id === id)?.info.status;
      assert.deepEqual([opened?.runId, native.runId, other?.runId].map(status), [
        'KILLED',
        'KILLED',
        'RUNNING',
      ]);
    }));

  test('closes the run of an attempt that was cancelled', () =>
    withMlflow(async ({ fake, tracking, clock }) => {
      const cancel = new AbortController();
      const steps = createStepTracking({
        tracking,
        clock,
        context: createContext({ signal: cancel.signal }),
      });
      const opened = await steps.openStepRun(OPENING);
      cancel.abort(new Error('cancelled'));
      await steps.closeStepRun({
        request: OPENING.request,
        trackingRunId: opened?.runId ?? '',
        outcome: { kind: 'cancelled', endedAtMs: 9_000 },
      });
      assert.equal(fake.state.runs[0]?.info.status, 'KILLED');
    }));
});
