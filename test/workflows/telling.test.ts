import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { EndedRun } from '../../src/activities/ports/run-directory.js';
import { DELIVERY_WORKFLOW, type Notification } from '../../src/core/notifications.js';
import { systemTaskQueue } from '../../src/core/run.js';
import { SWEEP_NOW, SWEEPER_WORKFLOW, type SweepState } from '../../src/core/sweep.js';
import { createRunDirectory } from '../../src/workers/run-directory.js';
import { PROJECT, startHarness, type Harness } from './harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe('telling people', { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false }, () => {
  let h: Harness;
  before(async () => {
    h = await startHarness(cli ?? '', {
      workflowsPath: fileURLToPath(new URL('./told-pipelines.ts', import.meta.url)),
    });
  });
  beforeEach(() => {
    h.deliveries.length = 0;
    h.notifications.length = 0;
    h.deliver = () => undefined;
    h.snapshot = {};
  });
  after(async () => await h.close());

  const until = async <T>(probe: () => T | undefined | Promise<T | undefined>): Promise<T> => {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error('The condition did not come true in 30 s.');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const startSystem = async (type: string, ...args: unknown[]): Promise<WorkflowHandle> =>
    await h.client.workflow.start(type, {
      taskQueue: systemTaskQueue(PROJECT),
      workflowId: `system-${randomUUID()}`,
      args,
    });
  const message = (...to: string[]): Notification => ({
    ...{ id: 'm', event: 'message', to, subject: 'hello', text: 'x', runId: 'r', executionId: 'e' },
  });

  test('is for each channel by itself: what lives has its message while what is away is tried again', async () => {
    let tries = 0;
    let back = false;
    h.deliver = ({ channel }) => {
      if (channel.name !== 'slack:ml' || back) return;
      tries++;
      throw ApplicationFailure.create({ message: 'away', type: 'NotificationFailed' });
    };
    const handle = await startSystem(DELIVERY_WORKFLOW, message('slack:ml', 'a@b.c', 'd@e.f'));
    await until(() => (tries > 0 && h.deliveries.length > 0 ? true : undefined));
    assert.deepEqual(h.deliveries, ['email <- hello']);
    back = true;
    await handle.result();
    assert.deepEqual(h.deliveries, ['email <- hello', 'slack:ml <- hello']);
  });

  test('fails for all to see where a channel refuses for good', async () => {
    h.deliver = ({ channel }) => {
      if (channel.name === 'email')
        throw ApplicationFailure.nonRetryable('Check the password.', 'InvalidConfig');
    };
    const handle = await startSystem(DELIVERY_WORKFLOW, message('a@b.c', 'webhook:pager'));
    await assert.rejects(handle.result(), ({ cause }: Error) => {
      assert.match(String(cause), /Check the password\./);
      return true;
    });
    assert.deepEqual(h.deliveries, ['webhook:pager <- hello']);
  });

  test('of a success goes to those who asked for it', async () => {
    const handle = await h.start('told');
    await handle.result();
    assert.deepEqual(h.notifications.toSorted(), [
      `told succeeded: ${handle.workflowId} | The run ended as completed; 1 calls succeeded.`,
      `told works again: ${handle.workflowId} | The run before this one failed; this one did not. 1 calls succeeded.`,
    ]);
  });

  test('of a failure goes to those of the project where the pipeline names nobody', async () => {
    h.snapshot = { notify: { onFailure: ['ops@example.org'] } };
    const handle = await h.start('told', { fail: true });
    await assert.rejects(handle.result());
    assert.deepEqual(h.notifications, [
      `told failed: ${handle.workflowId} | PipelineError: RangeError: off by one`,
    ]);
  });

  test('the sweeper goes on from where it was, looks when it is asked to, and outlives a sweep that fails', async () => {
    const states: SweepState[] = [];
    h.sweep = (state) => {
      states.push(state);
      if (states.length === 2) throw ApplicationFailure.nonRetryable('no', 'InvalidConfig');
      return { ...state, watermarkMs: states.length };
    };
    const handle = await startSystem(SWEEPER_WORKFLOW);
    for (const sweeps of [1, 2]) {
      await until(() => (states.length === sweeps ? true : undefined));
      await handle.signal(SWEEP_NOW);
    }
    await until(() => (states.length === 3 ? true : undefined));
    assert.deepEqual(
      states.map(({ watermarkMs }) => watermarkMs),
      [0, 1, 1],
    );
    await handle.terminate();
  });

  describe('the directory of runs', () => {
    const ended = async (sinceMs: number) => {
      const runs: EndedRun[] = [];
      for await (const run of createRunDirectory(h.client, PROJECT).listEnded(sinceMs)) runs.push(run);
      return runs;
    };
    const startWaiting = async () => {
      const handle = await h.start('waits');
      await until(async () => ((await statusOf(handle)).counts.succeeded === 1 ? true : undefined));
      return handle;
    };
    const statusOf = async (handle: WorkflowHandle) =>
      await handle.query<{ counts: { succeeded?: number } }>('status');

    test('knows a terminated run: why, and what its code says of it', async () => {
      const sinceMs = Date.now();
      const handle = await startWaiting();
      await handle.terminate('by ana');
      const directory = createRunDirectory(h.client, PROJECT);
      const [run] = await until(async () => {
        const found = await ended(sinceMs);
        return found.length > 0 ? found : undefined;
      });
      assert.ok(run);
      assert.deepEqual([run.runId, run.state, run.pipeline], [handle.workflowId, 'terminated', 'waits']);
      assert.equal(await directory.readReason(run), 'by ana');
      const { status, journal } = (await directory.ask(run)) ?? {};
      assert.equal(journal?.entries.length, 1);
      assert.deepEqual(
        [status?.executionId, status?.tracking, status?.counts.succeeded],
        [run.executionId, { experimentId: '1', runId: 'parent' }, 1],
      );
      assert.equal(await directory.lastFailed('waits'), true);
    });

    test('takes a reset for no end', async () => {
      const sinceMs = Date.now();
      const handle = await startWaiting();
      const { events } = await handle.fetchHistory();
      const first = events?.find((event) => event.workflowTaskCompletedEventAttributes)?.eventId;
      await h.client.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId },
        requestId: randomUUID(),
        reason: 'once more',
        workflowTaskFinishEventId: first ?? null,
      });
      const query = `WorkflowId = '${handle.workflowId}' AND ExecutionStatus = 'Terminated'`;
      await until(async () => ((await h.client.workflow.count(query)).count > 0 ? true : undefined));
      assert.deepEqual(await ended(sinceMs), []);
      await handle.terminate();
    });

    test('says of the last run that ended whether it failed', async () => {
      const directory = createRunDirectory(h.client, PROJECT);
      for (const fail of [true, false]) {
        const handle = await h.start('told', { fail });
        await handle.result().catch(() => undefined);
        await until(async () => ((await directory.lastFailed('told')) === fail ? true : undefined));
      }
      assert.equal(await directory.lastFailed('never-run'), false);
      assert.deepEqual(await directory.listStuck(), []);
    });
  });
});
