import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { systemTaskQueue } from '../../src/core/run.js';
import { compileSchedule } from '../../src/core/schedule-times.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';
import { SWEEPER_WORKFLOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import { PROJECT, startHarness, type Harness } from '../workflows/harness.js';
import { createNights } from './night-world.js';

const server = process.env['ANNEAL_TEST_TIME_SKIPPING'];
const [HOUR, DAY] = [3_600_000, 86_400_000];

const NIGHTLY: ScheduleDefinition = {
  cron: '30 2 * * *',
  timezone: 'Europe/Berlin',
  catchup: '2h',
  skip: { dates: ['12-25', '01-01', '05-01'] },
};

describe(
  'a year of nightly runs with outages',
  { skip: server === undefined ? 'ANNEAL_TEST_TIME_SKIPPING is not set' : false },
  () => {
    let h: Harness;
    before(async () => {
      const workflowsPath = path.join(path.dirname(fileURLToPath(import.meta.url)), 'year-pipelines.ts');
      h = await startHarness('', { workflowsPath, timeSkippingServer: server ?? '' });
    });
    after(async () => {
      await h.close();
    });

    test('leaves each night with a run or a record, never both', async () => {
      let nights: ReturnType<typeof createNights> | undefined;
      let starting: Promise<unknown>[] = [];
      h.sweep = async (state) => {
        const nowMs = Context.current().info.currentAttemptScheduledTimestampMs;
        nights ??= prepare(nowMs, (id) => starting.push(h.start('nightly', {}, id)));
        outages(nights, nowMs);
        await Promise.all(starting);
        starting = [];
        // A server that is away runs no sweeper either.
        if (!nights.away) await nights.sweep();
        return state;
      };
      const sweeper = await h.client.workflow.start(SWEEPER_WORKFLOW, {
        ...{ taskQueue: systemTaskQueue(PROJECT), workflowId: sweeperWorkflowId(PROJECT) },
        args: [undefined, 11 * HOUR],
      });
      await (await h.start('waits', { days: 367 })).result();
      await sweeper.terminate('the year is over');
      assert.ok(nights);
      const { startMs, runs } = { startMs: nights.createdAtMs, runs: nights.runs };
      const all = compileSchedule(NIGHTLY).between(startMs, startMs + 365 * DAY);
      const ran = new Set(runs.map(({ atMs }) => atMs));
      const skipped = new Map(nights.skipped().map((one) => [one.atMs, one.reason]));
      for (const { atMs } of all)
        assert.ok(ran.has(atMs) !== skipped.has(atMs), `${new Date(atMs).toISOString()} has both or neither`);
      const counts: { [reason: string]: number } = {};
      for (const reason of skipped.values()) counts[reason] = (counts[reason] ?? 0) + 1;
      // 02:30 does not exist on one day of March. Nights: two outages of servers, one of workers, three holidays, a pause.
      assert.equal(all.length, 364);
      assert.deepEqual(counts, { missed: 7, overlap: 4, holiday: 3, paused: 5 });
      const { count } = await h.client.workflow
        .count(`WorkflowType = 'nightly'`)
        .catch(() => ({ count: runs.length }));
      assert.equal(count, runs.length);
    });
  },
);

/** Day of the year's story on which a moment is: days begin at noon, so that the hour at which the test runs changes nothing. */
const dayOf = (world: { readonly createdAtMs: number }, ms: number) => {
  const noonOf = (moment: number) => Math.floor((moment - 12 * HOUR) / DAY);
  return noonOf(ms) - noonOf(world.createdAtMs);
};

function prepare(nowMs: number, start: (id: string) => void) {
  const nights = createNights(NIGHTLY, nowMs);
  nights.onStart = ({ runId }) => start(runId);
  // Workers are away for four nights: the run that waits for them stays open.
  nights.runMs = (run) => (run === 99 ? 4 * DAY + 5 * HOUR : HOUR);
  return nights;
}

/** What happens until a moment: the server is away over three and over four nights, and the schedule is paused for five. */
function outages(nights: ReturnType<typeof createNights>, nowMs: number): void {
  for (let ms = nights.nowMs; ms < nowMs;) {
    ms = Math.min(nowMs, ms + HOUR);
    const day = dayOf(nights, ms);
    nights.away = (day >= 40 && day < 43) || (day >= 200 && day < 204);
    nights.paused = day >= 300 && day < 305;
    nights.advance(ms);
  }
}
