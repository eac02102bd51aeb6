import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sweepSchedules } from '../../src/activities/sweep-schedules.js';
import type { SkippedTime } from '../../src/core/schedule-account.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';
import { compileSchedule } from '../../src/core/schedule-times.js';
import { createScheduleDirectory } from '../../src/workers/schedule-directory.js';
import { createMemoryStore } from '../tracking/fixtures.js';
import { until } from '../system/support/until.js';
import { scheduled, startScheduleServer } from './schedule-server.js';

describe('the times of schedules of a real server', () => {
  let server: Awaited<ReturnType<typeof startScheduleServer>>;
  before(async () => {
    server = await startScheduleServer();
  });
  after(async () => await server.close());

  /** Applies a schedule, and gives what looks at it. */
  const follow = async (name: string, schedule: ScheduleDefinition) => {
    await server.schedules.apply([scheduled(name, schedule)]);
    const [store, directory] = [createMemoryStore(), createScheduleDirectory(server.client, 'shop')];
    const skipped = () =>
      [...store.objects]
        .filter(([key]) => key.startsWith(`schedules/shop/${name}/skipped/`))
        .map(([, bytes]) => JSON.parse(Buffer.from(bytes).toString()) as SkippedTime)
        .toSorted((a, b) => a.atMs - b.atMs);
    const sweep = async () => {
      await sweepSchedules({
        project: 'shop',
        ...{ store, schedules: directory, clock: { nowMs: () => Date.now() }, settleMs: 2_000 },
        tell: async () => Promise.resolve(),
        log: (message) => {
          throw new Error(message);
        },
      });
      return skipped();
    };
    const runs = async () => await directory.listRuns(`shop/${name}`, 0);
    return { sweep, runs, schedule };
  };

  /** Every time up to the last record has a run or a record. */
  const balance = async (
    { runs, schedule }: Awaited<ReturnType<typeof follow>>,
    skipped: readonly SkippedTime[],
  ) => {
    const ran = new Set((await runs()).map(({ atMs }) => atMs));
    const first = Math.min(...ran, ...skipped.map(({ atMs }) => atMs));
    const times = compileSchedule(schedule).between(first - 1, skipped.at(-1)?.atMs ?? first);
    for (const { atMs } of times)
      assert.ok(ran.has(atMs) !== skipped.some((one) => one.atMs === atMs), new Date(atMs).toISOString());
  };

  test('while a run is open are recorded with that run, jitter or not', async () => {
    const followed = await follow('overlapping', { every: '2s', jitter: '1s' });
    const skipped = await until('times are skipped', async () => {
      const found = await followed.sweep();
      return found.length >= 2 && found;
    });
    await balance(followed, skipped);
    assert.deepEqual([...new Set(skipped.map(({ reason }) => reason))], ['overlap']);
    assert.match(skipped[0]?.text ?? '', /^The run before, overlapping-.*Z, was still open\.$/);
    await server.schedules.remove('overlapping');
  });

  test('while it is paused are recorded as that', async () => {
    const followed = await follow('held', { every: '2s', overlap: 'allow-all' });
    await until('it runs', async () => (await followed.runs()).length > 0);
    await followed.sweep();
    await server.schedules.pause('held', 'holidays');
    const skipped = await until('times are skipped', async () => {
      const found = await followed.sweep();
      return found.length >= 2 && found;
    });
    await balance(followed, skipped);
    assert.deepEqual([...new Set(skipped.map(({ text }) => text))], ['The schedule was paused (holidays).']);
    await server.schedules.remove('held');
  });

  test('that wait for the run before are given up by nobody', async () => {
    const followed = await follow('waiting', { every: '2s', overlap: 'buffer-all' });
    const first = await until('it runs', async () => (await followed.runs())[0]);
    const startMs = Date.now();
    await until('times wait', async () => {
      assert.deepEqual(await followed.sweep(), []);
      return Date.now() - startMs > 7_000;
    });
    await server.client.workflow.getHandle(first.runId).terminate();
    await until('the next one runs', async () => (await followed.runs()).length > 1);
    await server.schedules.remove('waiting');
  });
});
