import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCloseRun } from '../../src/activities/close-run.js';
import type { EndedRun, RunDirectory } from '../../src/activities/ports/run-directory.js';
import type { ScheduleDirectory } from '../../src/activities/ports/schedule-directory.js';
import type { TriggerDirectory } from '../../src/activities/ports/trigger-directory.js';
import { createSweep } from '../../src/activities/sweep.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { AnnealError } from '../../src/core/failures.js';
import type { Journal } from '../../src/core/journal.js';
import type { Notification } from '../../src/core/notifications.js';
import type { RunStatus } from '../../src/core/run.js';
import type { SweepState } from '../../src/core/sweep.js';
import { createContext, createMemoryStore, withMlflow } from '../tracking/fixtures.js';

const MINUTE = 60_000;
const JOURNAL: Journal = { version: 1, entries: [], pending: {} };
const NOW = 100 * 24 * 60 * MINUTE;
const SWEPT: SweepState = { watermarkMs: NOW - MINUTE, unfinished: [], stuck: [] };

/** Their times: test/schedules. */
const NO_SCHEDULES: ScheduleDirectory = {
  listSchedules: async () => Promise.resolve([]),
  listRuns: async () => Promise.resolve([]),
  readRetentionMs: async () => Promise.resolve(0),
};

const NO_TRIGGERS: TriggerDirectory = {
  listPipelines: async () => Promise.resolve([]),
  listEnds: async function* () {
    yield* await Promise.resolve([]);
  },
  readModel: async () => Promise.resolve(undefined),
  start: async () => Promise.resolve(),
};

const ended = (changes: Partial<EndedRun> = {}): EndedRun => ({
  runId: 'nightly/1',
  executionId: 'exec-1',
  epoch: 'epoch-1',
  pipeline: 'churn',
  state: 'terminated',
  startedAtMs: NOW - 30 * MINUTE,
  endedAtMs: NOW - MINUTE / 2,
  ...changes,
});

const statusOf = (run: EndedRun, tracking?: RunStatus['tracking']): RunStatus => ({
  ...{ runId: run.runId, executionId: run.executionId, pipeline: run.pipeline, project: 'p', build: 'b1' },
  ...{ state: 'running', parameters: { rows: 3 }, startedAtMs: run.startedAtMs, approvals: [] },
  calls: [{ id: 'c', kind: 'step', name: 'train', state: 'running', attempt: 1, startedAtMs: 1 }],
  ...{ counts: { running: 1 }, continuations: 0 },
  ...(tracking === undefined ? {} : { tracking }),
});

/** A project's runs as a test says, and its sweeps. */
function createWorld(directory: Partial<RunDirectory> & { readonly ends?: readonly EndedRun[] }) {
  const store = createMemoryStore();
  const told: Notification[] = [];
  const world = { nowMs: NOW, told, store, trackingAway: false };
  const clock = { nowMs: () => world.nowMs };
  const { closeRun } = createCloseRun({ store, clock, context: createContext() });
  const { sweep } = createSweep({
    project: 'p',
    directory: {
      listEnded: async function* (sinceMs) {
        for (const run of directory.ends ?? [])
          if (run.endedAtMs >= sinceMs) yield await Promise.resolve(run);
      },
      listEnds: NO_TRIGGERS.listEnds,
      ask: async (run) => Promise.resolve({ status: statusOf(run), journal: JOURNAL }),
      readReason: async () => Promise.resolve('by ana'),
      listStuck: async () => Promise.resolve([]),
      lastFailed: async () => Promise.resolve(false),
      ...directory,
    },
    store,
    schedules: NO_SCHEDULES,
    triggers: NO_TRIGGERS,
    routesOf: async () => Promise.resolve({ pipeline: { onFailure: ['a@b.c'] }, project: {} }),
    clock,
    context: createContext(),
    log: () => undefined,
    notify: async (notification) => void told.push(notification),
    closeRun: async (input) => {
      await closeRun(input);
      if (world.trackingAway) throw new AnnealError('TrackingUnavailable', 'MLflow is away.');
    },
  });
  const record = (executionId = 'exec-1') => {
    const bytes = store.objects.get(storeKeys.run(executionId));
    return bytes && (JSON.parse(Buffer.from(bytes).toString()) as RunStatus);
  };
  return Object.assign(world, { sweep, record });
}

describe('a sweep', () => {
  test('writes the record of a terminated run and tells of it, with who did it', async () => {
    const { sweep, record, told, store } = createWorld({ ends: [ended()] });
    const state = await sweep(SWEPT);
    const { state: how, endedAtMs, calls, counts, failure } = record() ?? {};
    assert.deepEqual([how, endedAtMs], ['terminated', NOW - MINUTE / 2]);
    assert.equal(calls?.[0]?.state, 'cancelled');
    assert.deepEqual(counts, { running: 0, cancelled: 1 });
    assert.equal(failure?.message, 'The run was terminated: by ana');
    assert.ok(store.objects.has(storeKeys.journal('exec-1')), 'what a retry takes over');
    assert.deepEqual(
      told.map(({ id, event, text, to }) => ({ id, event, text, to })),
      [
        {
          id: 'terminated-epoch-1',
          event: 'terminated',
          text: 'The run was terminated: by ana',
          to: ['a@b.c'],
        },
      ],
    );
    assert.equal(state.watermarkMs, NOW);
  });

  test('leaves a run alone that wrote its own record', async () => {
    const { sweep, record, told, store } = createWorld({ ends: [ended({ state: 'failed' })] });
    const own = { ...statusOf(ended()), state: 'failed' };
    await store.putBytes(storeKeys.run('exec-1'), Buffer.from(JSON.stringify(own)));
    await sweep(SWEPT);
    assert.deepEqual(record(), own);
    assert.deepEqual(told, []);
  });

  test('ends the record of a run that was terminated while it was closing', async () => {
    const { sweep, record, store } = createWorld({ ends: [ended()] });
    const own = { ...statusOf(ended()), state: 'completed', result: 1 };
    await store.putBytes(storeKeys.run('exec-1'), Buffer.from(JSON.stringify(own)));
    await sweep(SWEPT);
    assert.deepEqual([record()?.state, record()?.result], ['terminated', undefined]);
  });

  test('comes back to what MLflow was away for, although the record is written', async () => {
    const world = createWorld({ ends: [ended(), ended({ executionId: 'exec-2', runId: 'nightly/2' })] });
    world.trackingAway = true;
    const first = await world.sweep(SWEPT);
    assert.deepEqual(first.unfinished, ['exec-1', 'exec-2']);
    assert.equal(first.watermarkMs, NOW - MINUTE / 2);
    world.trackingAway = false;
    world.nowMs += 30 * MINUTE;
    const second = await world.sweep(first);
    assert.deepEqual([second.unfinished, second.watermarkMs], [[], world.nowMs]);
  });

  test('waits for a worker that can tell of the run, and tells people meanwhile', async () => {
    let known = false;
    const world = createWorld({
      ends: [ended()],
      ask: async (run) => Promise.resolve(known ? { status: statusOf(run) } : undefined),
    });
    const first = await world.sweep(SWEPT);
    assert.deepEqual([first.unfinished, world.record()], [['exec-1'], undefined]);
    assert.equal(world.told.length, 1);
    known = true;
    await world.sweep(first);
    assert.equal(world.record()?.state, 'terminated');
  });

  test('ends the runs in MLflow of a run that nobody can tell of', () =>
    withMlflow(async ({ tracking, clock }) => {
      const { openTracking } = createTrackingActivities({
        ...{ tracking, clock, context: createContext(), project: 'p' },
      });
      const opened = await openTracking({
        ...{ pipeline: 'churn', executionId: 'exec-1', parameters: {}, tags: [], build: 'b1' },
      });
      const run = ended({ endedAtMs: NOW - 20 * MINUTE });
      const { sweep } = createSweep({
        ...{ project: 'p', store: createMemoryStore(), tracking, clock: { nowMs: () => NOW } },
        directory: {
          listEnded: async function* () {
            yield await Promise.resolve(run);
          },
          listEnds: NO_TRIGGERS.listEnds,
          ask: async () => Promise.resolve(undefined),
          readReason: async () => Promise.resolve(undefined),
          listStuck: async () => Promise.resolve([]),
          lastFailed: async () => Promise.resolve(false),
        },
        schedules: NO_SCHEDULES,
        triggers: NO_TRIGGERS,
        routesOf: async () => Promise.resolve({ pipeline: {}, project: {} }),
        context: createContext(),
        log: () => undefined,
        notify: async () => Promise.resolve(),
        closeRun: async () => Promise.reject(new Error('not known')),
      });
      const state = await sweep(SWEPT);
      assert.deepEqual(state.unfinished, []);
      const { status, tags } = await tracking.getRun(opened.parentRunId, AbortSignal.timeout(5_000));
      assert.deepEqual([status, tags['anneal.status']], ['KILLED', 'terminated']);
    }));

  test('of a project that was never swept tells no old news, and closes them all the same', async () => {
    const old = ended({ endedAtMs: NOW - 120 * MINUTE });
    const { sweep, record, told } = createWorld({ ends: [old] });
    await sweep({ ...SWEPT, watermarkMs: 0 });
    assert.equal(record()?.state, 'terminated');
    assert.deepEqual(told, []);
  });

  test('tells of each stuck run once, as long as it is stuck', async () => {
    const stuck = { ...ended(), why: 'The run is stuck: …' };
    const { sweep, told } = createWorld({ listStuck: async () => Promise.resolve([stuck]) });
    const state = await sweep(SWEPT);
    await sweep(state);
    assert.deepEqual(
      told.map(({ event, text }) => [event, text]),
      [['stuck', 'The run is stuck: …']],
    );
  });
});
