import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createPoolActivities } from '../../src/activities/attempt.js';
import type { AttemptExecutor } from '../../src/activities/ports/executor.js';
import type { StepTracking } from '../../src/activities/tracking-step.js';
import { AnnealError } from '../../src/core/failures.js';
import { buildFailed, buildRequest, buildSucceeded, createContext } from '../tracking/fixtures.js';

const SUCCEEDED = buildSucceeded({ f1: 0.9 });
const TRACKED = { runId: 'step-run', environment: {} };

describe('an attempt that was launched before', () => {
  test('answers the stored outcome while MLflow is away, and runs nothing', async () => {
    const { activities, calls } = compose({ find: () => Promise.resolve(SUCCEEDED) }, { open: refuse });
    assert.deepEqual(await activities.executeAttempt(buildRequest()), SUCCEEDED);
    assert.deepEqual(calls, ['open within limits']);
  });

  test('brings its MLflow run up to date where MLflow answers', async () => {
    const { activities, calls } = compose({ find: () => Promise.resolve(SUCCEEDED) });
    const outcome = await activities.executeAttempt(buildRequest());
    assert.equal(outcome.kind === 'succeeded' && outcome.trackingRunId, 'step-run');
    assert.deepEqual(calls, ['open within limits', 'close succeeded']);
  });

  test('is adopted though MLflow refuses', async () => {
    const { activities, calls } = compose({ find: () => Promise.resolve('running') }, { open: refuse });
    assert.deepEqual(await activities.executeAttempt(buildRequest()), SUCCEEDED);
    assert.deepEqual(calls, ['open within limits', 'run']);
  });

  test('counts as succeeded when it did, whatever went wrong beside it', async () => {
    let ended = false;
    const { activities } = compose({
      find: () => Promise.resolve(ended ? SUCCEEDED : 'running'),
      run: () => Promise.reject(new Error('the directory is gone')),
      end: () => {
        ended = true;
        return Promise.resolve();
      },
    });
    assert.deepEqual(await activities.executeAttempt(buildRequest()), SUCCEEDED);
  });
});

describe('an attempt that was not launched', () => {
  test('waits for MLflow first, and fails when that refuses', async () => {
    const { activities, calls } = compose({}, { open: refuse });
    const outcome = await activities.executeAttempt(buildRequest());
    assert.equal(outcome.kind === 'failed' && outcome.code, 'TrackingRefused');
    assert.deepEqual(calls, ['open', 'end']);
  });

  test('fails with its own error when the store says that it was stopped', async () => {
    let ended = false;
    const { activities } = compose({
      find: () => Promise.resolve(ended ? { ...buildFailed(), code: 'AttemptKilled' } : undefined),
      run: () => Promise.reject(new AnnealError('StoreUnavailable', 'The disk is full.')),
      end: () => {
        ended = true;
        return Promise.resolve();
      },
    });
    const outcome = await activities.executeAttempt(buildRequest());
    assert.equal(outcome.kind === 'failed' && outcome.code, 'StoreUnavailable');
  });

  test('fails by what the store says that it failed by', async () => {
    let ended = false;
    const { activities } = compose({
      find: () => Promise.resolve(ended ? buildFailed() : undefined),
      run: () => Promise.reject(new AnnealError('StoreUnavailable', 'The disk is full.')),
      end: () => {
        ended = true;
        return Promise.resolve();
      },
    });
    const outcome = await activities.executeAttempt(buildRequest());
    assert.equal(outcome.kind === 'failed' && outcome.code, 'StepFailed');
  });
});

function refuse(): ReturnType<StepTracking['openStepRun']> {
  return Promise.reject(new AnnealError('TrackingRefused', 'MLflow refuses.'));
}

function compose(executor: Partial<AttemptExecutor>, mlflow: { open?: StepTracking['openStepRun'] } = {}) {
  const calls: string[] = [];
  const activities = createPoolActivities({
    executorOf: () => ({
      find: () => Promise.resolve(undefined),
      run: () => {
        calls.push('run');
        return Promise.resolve(SUCCEEDED);
      },
      end: () => {
        calls.push('end');
        return Promise.resolve();
      },
      ...executor,
    }),
    tracking: {
      openStepRun: async (opening) => {
        calls.push(opening.signal === undefined ? 'open' : 'open within limits');
        return await (mlflow.open ?? (() => Promise.resolve(TRACKED)))(opening);
      },
      logPoints: () => Promise.resolve(),
      closeStepRun: ({ outcome }) => {
        calls.push(`close ${outcome.kind}`);
        return Promise.resolve();
      },
    },
    cache: {
      ask: () => Promise.resolve({ kind: 'claimed', generation: 1 }),
      store: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    executions: {
      isClosed: () => Promise.resolve(false),
      isChainClosed: () => Promise.resolve(false),
      isHolderLive: () => Promise.resolve(true),
    },
    clock: { nowMs: () => 0 },
    context: createContext(),
  });
  return { activities, calls };
}
