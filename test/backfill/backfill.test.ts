import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WithStartWorkflowOperation } from '@temporalio/client';
import {
  BACKFILL_ADD,
  BACKFILL_CANCEL,
  BACKFILL_PAUSE,
  BACKFILL_PROGRESS,
  BACKFILL_RESUME,
  BACKFILL_RETRY,
  BACKFILL_WORKFLOW,
  backfillWorkflowId,
  type BackfillProgress,
  type BackfillRange,
  type BackfillState,
} from '../../src/core/backfill.js';
import { partitionsBetween } from '../../src/core/partitions.js';
import { pipelinesTaskQueue, systemTaskQueue, type RunStatus } from '../../src/core/run.js';
import { until } from '../system/support/until.js';
import { PROJECT, startHarness, succeeded, type Harness } from '../workflows/harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe('a backfill', { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false }, () => {
  let h: Harness;
  before(async () => {
    const folder = path.dirname(fileURLToPath(import.meta.url));
    h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'backfill-pipelines.ts') });
  });
  after(async () => await h.close());
  beforeEach(() => {
    h.script = (request) => succeeded(request);
    h.attempts.length = 0;
  });

  const START: BackfillState = {
    ...{ project: PROJECT, pipeline: 'daily', parameter: 'day', concurrency: 4, queue: [], running: [] },
    ...{ failed: [], made: 0, skipped: 0, cancelled: 0, paused: false, cancelling: false, startedAtMs: 0 },
  };
  const days = (from: string, to: string) => partitionsBetween('day', from, to);

  /** Adds a range to the backfill, which is started where it does not run. */
  const add = async (range: Partial<BackfillRange>, start: Partial<BackfillState> = {}) => {
    const state = { ...START, ...start };
    const startWorkflowOperation = new WithStartWorkflowOperation(BACKFILL_WORKFLOW, {
      workflowId: backfillWorkflowId(state.pipeline),
      taskQueue: systemTaskQueue(PROJECT),
      args: [state],
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
    await h.client.workflow.executeUpdateWithStart(BACKFILL_ADD, {
      args: [{ project: PROJECT, keys: [], again: false, params: {}, ...range }],
      startWorkflowOperation,
    });
    const handle = h.client.workflow.getHandle(backfillWorkflowId(state.pipeline));
    return {
      handle,
      result: async () => (await handle.result()) as BackfillProgress,
      progress: async () => await handle.query<BackfillProgress>(BACKFILL_PROGRESS),
      ask: async (update: string) => await handle.executeUpdate<BackfillProgress, []>(update),
    };
  };

  test('makes every partition in a run of its own, whose steps and status carry the key', async () => {
    const keys = days('2026-01-01', '2026-01-05');
    const { result } = await add({ keys });
    const { state, made, total, failed } = await result();
    assert.deepEqual([state, made, total, failed], ['completed', 5, 5, []]);
    assert.deepEqual(h.attempts.map(({ parameters }) => parameters['day']).toSorted(), [...keys]);
    const run = h.client.workflow.getHandle('backfill/daily/2026-01-02');
    const status = await run.query<RunStatus>('status');
    assert.deepEqual([status.partition, status.result], ['2026-01-02', { day: '2026-01-02' }]);
    const { searchAttributes } = await run.describe();
    assert.ok((searchAttributes['AnnealTags'] as string[]).includes('partition:2026-01-02'));
  });

  test('keeps to its number of runs at once, also when a second range is added', async () => {
    let [open, most] = [0, 0];
    h.script = async (request) => {
      most = Math.max(most, ++open);
      // On a slow machine the third run may come late: the first ones wait for it.
      await until('three run at once', () => Promise.resolve(most >= 3));
      await new Promise((resolve) => setTimeout(resolve, 50));
      open--;
      return succeeded(request);
    };
    await add({ keys: days('2026-02-01', '2026-02-08'), concurrency: 3 });
    const { result } = await add({ keys: days('2026-02-05', '2026-02-14') });
    const { made, total } = await result();
    assert.deepEqual([made, total, most], [14, 14, 3]);
  });

  test('goes on over continue-as-new, with the runs that are under way', async () => {
    h.script = async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return succeeded(request);
    };
    const keys = days('2026-03-01', '2026-03-24');
    const { handle, result } = await add({ keys, concurrency: 6 }, { continueAfterEvents: 40 });
    const { made, total, failed } = await result();
    assert.deepEqual([made, total, failed], [24, 24, []]);
    assert.equal(h.attempts.length, 24, 'no partition was made twice');
    const query = `WorkflowId = '${handle.workflowId}' AND ExecutionStatus = 'ContinuedAsNew'`;
    await until('it continued as new', async () => (await h.client.workflow.count(query)).count >= 1);
  });

  test('starts nothing while it is paused, and goes on', async () => {
    const { ask, result, progress } = await add({ keys: days('2026-04-01', '2026-04-30'), concurrency: 2 });
    const { state } = await ask(BACKFILL_PAUSE);
    assert.equal(state, 'paused');
    const before = await until('what runs has ended', async () => {
      const now = await progress();
      return now.running.length === 0 && now;
    });
    assert.ok(before.made < 30, `${before.made} were made`);
    await ask(BACKFILL_RESUME);
    assert.equal((await result()).made, 30);
  });

  test('makes the failed ones again when it is asked, and those only', async () => {
    const keys = days('2026-05-01', '2026-05-04');
    const first = await add({ keys, params: { mode: 'fails' } });
    const { failed, made } = await first.result();
    assert.deepEqual(
      failed.map(({ key, runId, code }) => ({ key, runId, code })),
      [{ key: '2026-05-03', runId: 'backfill/daily/2026-05-03', code: 'PipelineError' }],
    );
    assert.equal(made, 3);
    // While it still runs: beside a partition that waits.
    const held = await add({ keys: ['2026-05-13'], params: { mode: 'fails' } });
    await add({ keys: ['2026-05-14'], params: { mode: 'waits' } });
    await until('it failed', async () => (await held.progress()).failed.length > 0);
    await held.ask(BACKFILL_RETRY);
    await until(
      'it failed again',
      async () => (await held.progress()).failed[0]?.runId === 'backfill/daily/2026-05-13.r2',
    );
    await held.ask(BACKFILL_CANCEL);
    await held.result();
  });

  test('that is cancelled cancels what is under way, and says what was not made', async () => {
    const backfill = await add({
      keys: days('2026-06-01', '2026-06-09'),
      params: { mode: 'waits' },
      concurrency: 2,
    });
    await until('two wait', async () => h.attempts.length === 2);
    await backfill.ask(BACKFILL_CANCEL);
    await assert.rejects(add({ keys: ['2026-06-30'] }), /update failed/i);
    const { state, cancelled, made, failed } = await backfill.result();
    assert.deepEqual([state, cancelled, made, failed], ['cancelled', 9, 0, []]);
    const { status } = await h.client.workflow.getHandle('backfill/daily/2026-06-01').describe();
    assert.equal(status.name, 'CANCELLED');
  });

  test('that is being cancelled makes nothing again: it would never end', async () => {
    let release = () => undefined as void;
    const held = new Promise<void>((resolve) => (release = resolve));
    h.script = async (request) => {
      await held;
      return succeeded(request);
    };
    const failed = { key: '2026-06-11', runId: 'gone', code: 'Unknown' as const, params: {} };
    const backfill = await add({ keys: ['2026-06-12'] }, { failed: [failed] });
    await until('it runs', async () => h.attempts.length === 1);
    await backfill.ask(BACKFILL_CANCEL);
    await assert.rejects(backfill.ask(BACKFILL_RETRY), ({ cause }: Error) =>
      /is being cancelled/.test((cause as Error).message),
    );
    release();
    const { state, waiting } = await backfill.result();
    assert.deepEqual([state, waiting], ['cancelled', 0]);
  });

  test('that is cancelled in the Web UI ends in the same way', async () => {
    const backfill = await add({ keys: ['2026-06-21'], params: { mode: 'waits' } });
    await until('it waits', async () => h.attempts.length === 1);
    await backfill.handle.cancel();
    assert.deepEqual((await backfill.result()).cancelled, 1);
  });

  test('that is terminated leaves its runs alone, and the next one waits for them', async () => {
    h.script = async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      return succeeded(request);
    };
    const keys = ['2026-07-01', '2026-07-02'];
    const { handle } = await add({ keys });
    await until('both run', async () => h.attempts.length === 2);
    await handle.terminate('a test');
    const { made } = await (await add({ keys })).result();
    assert.deepEqual([made, h.attempts.length], [2, 2]);
  });

  test('sees the end of a run of somebody else while it waits for another one', async () => {
    const [long, short] = ['2026-07-21', '2026-07-22'];
    for (const day of [long, short]) await h.start('daily', { day, mode: 'waits' }, `backfill/daily/${day}`);
    const backfill = await add({ keys: [long] });
    await until('the first one is watched', async () => {
      const { pendingActivities } = (await backfill.handle.describe()).raw;
      return (pendingActivities?.length ?? 0) > 0;
    });
    await add({ keys: [short] });
    await until('both are under way', async () => (await backfill.progress()).running.length === 2);
    await h.client.workflow.getHandle(`backfill/daily/${short}`).cancel();
    await until('its end is seen', async () => (await backfill.progress()).failed.length === 1);
    assert.deepEqual(
      (await backfill.progress()).running.map(({ key }) => key),
      [long],
    );
    await backfill.ask(BACKFILL_CANCEL);
    assert.equal((await backfill.result()).state, 'cancelled');
  });

  test('skips what unchanged code has made, unless it is told to make it again', async () => {
    const plan = h.backfill.planPartitions;
    h.backfill = {
      ...h.backfill,
      planPartitions: async (input) =>
        (await plan(input)).map((one) =>
          one.key === '2026-08-02' && !input.again ? { ...one, action: 'skip' } : one,
        ),
    };
    const keys = days('2026-08-01', '2026-08-03');
    const first = await (await add({ keys })).result();
    assert.deepEqual([first.made, first.skipped], [2, 1]);
    const second = await (await add({ keys, again: true })).result();
    assert.deepEqual([second.made, second.skipped], [3, 0]);
    assert.equal(h.attempts.filter(({ parameters }) => parameters['day'] === '2026-08-01').length, 2);
  });

  test('of another project is refused', async () => {
    const backfill = await add({ keys: ['2026-09-01'], params: { mode: 'waits' } });
    await assert.rejects(add({ keys: ['2026-09-02'], project: 'other' }));
    await backfill.ask(BACKFILL_CANCEL);
    await backfill.result();
  });

  test('a run of a schedule makes the last whole day before its time; a wrong key fails at once', async () => {
    const schedule = await h.client.schedule.create({
      scheduleId: 'test/daily',
      spec: {},
      action: {
        type: 'startWorkflow',
        workflowType: 'daily',
        taskQueue: pipelinesTaskQueue(PROJECT),
        args: [{}],
      },
    });
    await schedule.trigger();
    const query = `TemporalScheduledById = 'test/daily'`;
    const run = await until('it has run', async () => {
      for await (const found of h.client.workflow.list({ query }))
        return found.status.name === 'COMPLETED' && found;
      return false;
    });
    const at = run.searchAttributes['TemporalScheduledStartTime']?.[0] as Date;
    const berlin = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Europe/Berlin' });
    const yesterday = berlin.format(new Date(at.getTime() - 86_400_000));
    assert.deepEqual(await h.client.workflow.getHandle(run.workflowId).result(), { day: yesterday });
    await schedule.delete();
    await assert.rejects((await h.start('daily', { day: '2026-02-30' })).result(), (error: Error) => {
      assert.match(String((error.cause as Error).message), /"2026-02-30" is no partition by day/);
      return true;
    });
    await assert.rejects((await h.start('daily', {})).result());
  });
});
