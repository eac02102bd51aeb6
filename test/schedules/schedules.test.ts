import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pipelinesTaskQueue } from '../../src/core/run.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';
import { compileSchedule } from '../../src/core/schedule-times.js';
import { until } from '../system/support/until.js';
import { scheduled, startScheduleServer } from './schedule-server.js';

const [FROM, UNTIL] = [Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)];

describe("schedules on Temporal's server", () => {
  let server: Awaited<ReturnType<typeof startScheduleServer>>;
  before(async () => {
    server = await startScheduleServer();
  });
  after(async () => await server.close());

  describe('have the times that are computed here, over the changes of the clocks of a year', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago'];
    const crons = [
      '30 2 * * *',
      '15 1 * * *',
      '0 0 * * sun',
      '*/30 0-3 * * *',
      '0 2 13 * 5',
      '5/20 1,2 * * *',
    ];
    for (const timezone of zones)
      test(timezone, async () => {
        for (const cron of crons) {
          const own = compileSchedule({ cron, timezone }).between(FROM, UNTIL);
          const theirs = await server.serverTimes({ cron, timezone }, FROM, UNTIL);
          assert.deepEqual(
            own.map(({ atMs }) => iso(atMs)),
            theirs.map(iso),
            cron,
          );
        }
      });

    test('and so for intervals, calendars, skipped dates, from and until', async () => {
      const definition: ScheduleDefinition = {
        every: ['7h', { every: '6h', offset: '30m' }],
        calendar: [
          { hour: [1, '4-5'], dayOfWeek: 'mon-fri' },
          { second: 30, minute: '*/20', month: 'mar' },
        ],
        timezone: 'Europe/Berlin',
        from: '2026-01-02T02:00:00Z',
        until: '2026-04-04',
        skip: { dates: ['2026-01-03', '01-06', '01-07', { date: '02-29', name: 'never this year' }] },
      };
      const own = compileSchedule(definition)
        .between(FROM, UNTIL)
        .filter(({ skipped }) => skipped === undefined);
      const theirs = await server.serverTimes(definition, FROM, UNTIL);
      assert.deepEqual(
        own.map(({ atMs }) => iso(atMs)),
        theirs.map(iso),
      );
    });
  });

  test('are made, changed and removed as the code says, and what differs is said first', async () => {
    const { schedules } = server;
    const nightly = scheduled('nightly', { cron: '0 2 * * *' });
    const hourly = scheduled('hourly', { every: '1h', overlap: 'allow-all' });
    const dry = await schedules.apply([nightly, hourly, scheduled('by-hand')], { dryRun: true });
    assert.deepEqual([dry.created, await schedules.list()], [['nightly', 'hourly'], []]);
    await schedules.apply([nightly, hourly]);
    await listed(['hourly', 'nightly']);
    assert.deepEqual((await schedules.apply([nightly, hourly])).unchanged, ['nightly', 'hourly']);
    await schedules.pause('nightly', 'holidays');
    const later = scheduled('nightly', {
      cron: ['0 3 * * *', '0 5 * * sat'],
      ...{ timezone: 'Europe/Berlin', catchup: '6h', jitter: '5m', pauseOnFailure: true },
      skip: { dates: ['12-25'] },
    });
    const plan = await schedules.apply([later], { dryRun: true });
    assert.deepEqual([plan.updated, plan.removed], [['nightly'], ['hourly']]);
    assert.deepEqual(plan.differences['nightly'], [
      'cron: "0 2 * * *" → ["0 3 * * *","0 5 * * sat"]',
      'timezone: default → "Europe/Berlin"',
      'skip: default → {"dates":["12-25"]}',
      'catchup: default → "6h"',
      'jitter: default → "5m"',
      'pauseOnFailure: default → true',
    ]);
    await schedules.apply([later]);
    const [info] = await listed(['nightly']);
    assert.deepEqual([info?.paused, info?.note, info?.definition], [true, 'holidays', later.schedule]);
    assert.equal(info?.nextAtMs.length, 10);
    await schedules.apply([]);
    await listed([]);
  });

  test('that somebody edited on the server are put back', async () => {
    const { schedules, client } = server;
    const nightly = scheduled('edited', { cron: '0 2 * * *', params: { n: 1 } });
    await schedules.apply([nightly]);
    await client.schedule.getHandle('shop/edited').update((found) => ({
      ...found,
      spec: { cronExpressions: ['0 4 * * *'] },
      policies: { ...found.policies, overlap: 'ALLOW_ALL' },
      action: { ...found.action, args: [{ n: 2 }] },
    }));
    await listed(['edited']);
    const { differences } = await schedules.apply([nightly]);
    assert.deepEqual(differences['edited'], [
      'overlap: changed on the server to "ALLOW_ALL"',
      'params: changed on the server to {"n":2}',
      'times: changed on the server',
    ]);
    assert.deepEqual((await schedules.apply([nightly])).unchanged, ['edited']);
    await schedules.remove('edited');
  });

  test('of others are left alone', async () => {
    const { schedules, client } = server;
    const own = (scheduleId: string, memo: Record<string, string>) =>
      client.schedule.create({
        ...{ scheduleId, memo, spec: { cronExpressions: ['0 3 * * *'] } },
        action: { type: 'startWorkflow', workflowType: 'x', taskQueue: pipelinesTaskQueue('shop'), args: [] },
      });
    const foreign = await own('shop/foreign', {});
    const other = await own('other/theirs', { 'anneal.project': 'other' });
    await own('shop/gone', { 'anneal.project': 'shop' });
    await listed(['gone']);
    assert.deepEqual((await schedules.apply([])).removed, ['gone']);
    await Promise.all([foreign.describe(), other.describe()]);
    await assert.rejects(schedules.trigger('gone'), /Pipeline "gone" has no schedule on the server\./);
  });

  /** The server's list lags behind. */
  async function listed(names: readonly string[]) {
    return await until(`${names.join()} are listed`, async () => {
      const found = await server.schedules.list().catch(() => []);
      return found.map(({ pipeline }) => pipeline).join() === names.join() && found;
    });
  }
});

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
