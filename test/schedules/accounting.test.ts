import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNights } from './night-world.js';

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const START = Date.UTC(2026, 0, 1);
const night = (day: number) => START + (day - 1) * DAY + 2 * HOUR;

type Nights = ReturnType<typeof createNights>;

const reasons = (world: Nights) =>
  world.skipped().map(({ atMs, reason }) => `${(atMs - START - 2 * HOUR) / DAY + 1} ${reason}`);

/** Two looks, a minute apart: a time without a run is decided at the second. */
async function look(world: Nights): Promise<void> {
  await world.sweep();
  world.advance(world.nowMs + 2 * MINUTE);
  await world.sweep();
}

describe('the times of a schedule', () => {
  test('with a run need no record', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    world.advance(night(3) + 5 * MINUTE);
    await look(world);
    assert.deepEqual([world.runs.length, world.skipped()], [3, []]);
  });

  test('that a server was away for longer than it catches up are recorded as missed, and told', async () => {
    const world = createNights({ cron: '0 2 * * *', catchup: '1h' }, START);
    world.advance(night(1) + 5 * MINUTE);
    await look(world);
    world.away = true;
    world.advance(night(4) + 30 * MINUTE);
    world.away = false;
    world.advance(world.nowMs + MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['2 missed', '3 missed']);
    assert.deepEqual(
      world.told.map(({ atMs }) => atMs),
      [night(2), night(3)],
    );
    assert.equal(world.runs.length, 2, 'the fourth was caught up with');
  });

  test('are not given up before a server that comes back has had time to start them', async () => {
    const world = createNights({ cron: '0 2 * * *', catchup: '6h' }, START);
    world.away = true;
    world.advance(night(1) + 2 * HOUR);
    await world.sweep();
    world.away = false;
    world.advance(world.nowMs + 30_000);
    await look(world);
    assert.deepEqual([world.runs.length, world.skipped(), world.told], [1, [], []]);
  });

  test('at which the run before was still open are recorded with that run', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    // The workers are away: the run of the first night stays open for two days.
    world.runMs = (run) => (run === 0 ? 50 * HOUR : HOUR);
    world.advance(night(4) + 5 * MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['2 overlap', '3 overlap']);
    assert.equal(
      world.skipped()[0]?.text,
      'The run before, nightly-2026-01-01T02:00:00.000Z, was still open.',
    );
  });

  test('are counted right when the server counts them before they are looked at', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    world.runMs = () => 30 * HOUR;
    world.advance(night(2) + 10_000);
    await world.sweep();
    world.advance(world.nowMs + 5 * MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['2 overlap']);
  });

  test('of holidays and of a paused schedule are recorded, and told to nobody', async () => {
    const world = createNights({ cron: '0 2 * * *', skip: { dates: ['2026-01-02'] } }, START);
    world.advance(night(2) + 5 * MINUTE);
    await look(world);
    world.paused = true;
    await world.sweep();
    world.advance(night(4) + 5 * MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['2 holiday', '3 paused', '4 paused']);
    assert.deepEqual(world.told, []);
  });

  test('of a pause that ended between two looks were paused, however late they are decided', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    world.paused = true;
    await world.sweep();
    world.advance(night(1) + 1 * MINUTE);
    world.paused = false;
    await look(world);
    await world.sweep();
    world.advance(night(2) + 5 * MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['1 paused']);
  });

  test('before a change are those of the schedule as it was then', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    world.advance(night(1) + 5 * MINUTE);
    await look(world);
    world.away = true;
    world.advance(night(2) + 3 * HOUR);
    world.serve();
    world.change({ cron: '0 12 * * *' }, 'd2');
    world.counts.missed++;
    world.processedMs = world.nowMs;
    world.away = false;
    world.advance(START + DAY + 12 * HOUR + 5 * MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['2 missed']);
    assert.equal(world.runs.length, 2);
  });

  test('that started late after all have a run and no record', async () => {
    const world = createNights({ cron: '0 2 * * *', catchup: '1h' }, START);
    world.away = true;
    world.advance(night(1) + 2 * HOUR);
    world.away = false;
    world.advance(world.nowMs + MINUTE);
    await look(world);
    assert.deepEqual(reasons(world), ['1 missed']);
    // Somebody backfills it by hand.
    world.runs.push({
      runId: 'late',
      atMs: night(1),
      startedAtMs: world.nowMs,
      endedAtMs: world.nowMs + HOUR,
    });
    await world.sweep();
    assert.deepEqual(world.skipped(), []);
  });

  test('are accounted for once, however often they are looked at', async () => {
    const world = createNights({ cron: '0 2 * * *' }, START);
    world.away = true;
    world.advance(night(5) + 12 * HOUR);
    world.away = false;
    world.advance(world.nowMs + MINUTE);
    for (let i = 0; i < 5; i++) await look(world);
    assert.deepEqual(reasons(world), ['1 missed', '2 missed', '3 missed', '4 missed', '5 missed']);
    const account = world.store.objects.get('schedules/p/nightly/account.json');
    await world.sweep();
    assert.equal(
      world.store.objects.get('schedules/p/nightly/account.json'),
      account,
      'nothing is written again',
    );
  });
});
