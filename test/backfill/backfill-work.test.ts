import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { BackfillState, PartitionPlan } from '../../src/core/backfill.js';
import { createPartitionDirectory } from '../../src/workers/partition-directory.js';
import { BackfillWork } from '../../src/workflows/backfill-work.js';

const START: BackfillState = {
  ...{ project: 'p', pipeline: 'daily', parameter: 'day', concurrency: 4, queue: [], running: [] },
  ...{ failed: [], made: 0, skipped: 0, cancelled: 0, paused: false, cancelling: false, startedAtMs: 0 },
};
const RANGE = { project: 'p', again: false, params: {} };

/** A backfill whose only partition is about to be started. */
function startOne() {
  const work = new BackfillWork(START);
  work.add({ ...RANGE, keys: ['one'] });
  const batch = work.takeBatch(10);
  assert.ok(batch);
  const plan: PartitionPlan = { key: 'one', runId: 'run-one', action: 'start' };
  work.planned([plan], batch);
  const partition = work.takePlanned();
  work.begin(partition, { watched: false });
  return { work, partition };
}

describe('a backfill that is being cancelled', () => {
  test('ends although a run id was taken since it was planned', () => {
    const { work, partition } = startOne();
    work.cancel();
    work.planAgain(partition);
    assert.equal(work.isDone(), true);
    const { state, cancelled, total } = work.progress();
    assert.deepEqual([state, cancelled, total], ['cancelled', 1, 1]);
  });

  test('cancels a run as soon as the server has started it, not before, when it would not be found', () => {
    const { work, partition } = startOne();
    work.cancel();
    assert.deepEqual(work.takeToCancel(), []);
    work.confirm(partition.runId);
    assert.deepEqual(work.takeToCancel(), ['run-one']);
    assert.deepEqual(work.takeToCancel(), []);
  });

  test('cancels runs that it watches, and those of the execution before', () => {
    const running = [{ key: 'old', runId: 'run-old', params: {} }];
    const work = new BackfillWork({ ...START, running, cancelling: true });
    work.begin(
      { key: 'new', runId: 'run-new', action: 'watch', again: false, params: {} },
      { watched: true },
    );
    assert.deepEqual(work.takeToCancel(), ['run-old', 'run-new']);
  });
});

/** A server of which every look at a result fails. */
function createClient(error: Error, status = 'COMPLETED'): Client {
  const result = async () => await Promise.reject(error);
  const describeRun = async () => await Promise.resolve({ status: { name: status } });
  return Object.assign(Object.create(null) as Client, {
    workflow: { getHandle: () => ({ result, describe: describeRun }) },
    withAbortSignal: async (_signal: AbortSignal, act: () => Promise<unknown>) => await act(),
  });
}

describe('a run that a backfill waits for', () => {
  const awaitEnd = async (client: Client) =>
    await createPartitionDirectory(client, async () => Promise.resolve(undefined)).awaitEnd(
      'run-one',
      AbortSignal.timeout(5_000),
    );

  test('has failed when it was removed meanwhile', async () => {
    const removed = new WorkflowNotFoundError('not found', 'run-one', undefined);
    assert.deepEqual(await awaitEnd(createClient(removed)), { runId: 'run-one', code: 'RunNotFound' });
  });

  test('has ended as the server says when its result cannot be read here', async () => {
    const unreadable = new Error('Unknown encoding: binary/encrypted');
    assert.deepEqual(await awaitEnd(createClient(unreadable)), { runId: 'run-one' });
    assert.deepEqual(await awaitEnd(createClient(unreadable, 'FAILED')), {
      runId: 'run-one',
      code: 'Unknown',
    });
  });

  test('is asked for again when the server does not answer while it is open', async () => {
    const away = new Error('UNAVAILABLE');
    await assert.rejects(awaitEnd(createClient(away, 'RUNNING')), /UNAVAILABLE/);
  });
});
