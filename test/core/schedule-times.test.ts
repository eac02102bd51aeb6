import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cron } from 'croner';
import fc from 'fast-check';
import { explainClockChanges } from '../../src/core/clock-changes.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';
import { compileSchedule, scheduleProblem } from '../../src/core/schedule-times.js';

const iso = (ms: number) => new Date(ms).toISOString().slice(0, 16);

function times(definition: ScheduleDefinition, from: string, until: string): string[] {
  const found = compileSchedule(definition).between(Date.parse(from), Date.parse(until));
  return found.filter(({ skipped }) => skipped === undefined).map(({ atMs }) => iso(atMs));
}

describe('times of a schedule', () => {
  test('are those of another implementation of cron, where clocks do not change', () => {
    const field = (min: number, max: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.integer({ min, max }).map(String),
        fc.integer({ min: 1, max: 6 }).map((step) => `*/${step}`),
        fc
          .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
          .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
      );
    const cron = fc
      .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
      .map((fields) => fields.join(' '));
    fc.assert(
      fc.property(cron, fc.integer({ min: 0, max: 365 * 1440 }), (expression, minutes) => {
        const after = Date.UTC(2026, 0, 1) + minutes * 60_000;
        const other = new Cron(expression, { paused: true, timezone: 'UTC', domAndDow: true });
        const own = compileSchedule({ cron: expression }).next(after)?.atMs;
        assert.equal(own, other.nextRun(new Date(after))?.getTime());
      }),
      { numRuns: 200 },
    );
  });

  test('of cron, every and calendar are taken together, and each once', () => {
    const definition: ScheduleDefinition = {
      cron: ['0 2 * * *', '0 2,3 * * *'],
      every: { every: '12h', offset: '30m' },
      calendar: { hour: 23, minute: [15, 45], dayOfWeek: 'thu-fri' },
    };
    assert.deepEqual(times(definition, '2026-01-01T00:00Z', '2026-01-01T23:59Z'), [
      '2026-01-01T00:30',
      '2026-01-01T02:00',
      '2026-01-01T03:00',
      '2026-01-01T12:30',
      '2026-01-01T23:15',
      '2026-01-01T23:45',
    ]);
  });

  test('must match day of month and day of week, both', () => {
    assert.deepEqual(times({ cron: '0 2 13 * fri' }, '2026-01-01T00:00Z', '2026-12-31T00:00Z'), [
      '2026-02-13T02:00',
      '2026-03-13T02:00',
      '2026-11-13T02:00',
    ]);
  });

  test('leave out dates of one year and of every year, by the clock of the zone', () => {
    const definition: ScheduleDefinition = {
      cron: '30 0 * * *',
      timezone: 'Europe/Berlin',
      skip: { dates: ['2026-12-24', { date: '12-25', name: 'Christmas' }] },
    };
    assert.deepEqual(times(definition, '2026-12-22T12:00Z', '2026-12-26T12:00Z'), [
      '2026-12-22T23:30',
      '2026-12-25T23:30',
    ]);
    const found = compileSchedule(definition).between(Date.UTC(2027, 11, 24), Date.UTC(2027, 11, 25));
    assert.deepEqual(found[0]?.skipped, { date: '12-25', name: 'Christmas' });
  });

  test('are the same wherever they are looked for from, also within an hour that is there twice', () => {
    const { next } = compileSchedule({ cron: '30 2 * * *', timezone: 'Europe/Berlin' });
    for (let minutes = -240; minutes < 90; minutes += 7)
      assert.equal(iso(next(Date.UTC(2026, 9, 25, 0) + minutes * 60_000)?.atMs ?? 0), '2026-10-25T01:30');
  });

  test('leave out 29 February where it is, and are given no more of than asked for', () => {
    const leap = compileSchedule({ cron: '0 0 * * *', skip: { dates: ['02-29'] } });
    const found = leap.between(Date.UTC(2028, 1, 27), Date.UTC(2028, 2, 5), 3);
    assert.deepEqual(
      found.map(({ atMs, skipped }) => [iso(atMs), skipped?.date]),
      [
        ['2028-02-28T00:00', undefined],
        ['2028-02-29T00:00', '02-29'],
        ['2028-03-01T00:00', undefined],
      ],
    );
  });

  test('lie between from and until, both included', () => {
    const definition = { cron: '0 2 * * *', from: '2026-01-02T02:00Z', until: '2026-01-03T02:00Z' };
    assert.deepEqual(times(definition, '2026-01-01T00:00Z', '2026-02-01T00:00Z'), [
      '2026-01-02T02:00',
      '2026-01-03T02:00',
    ]);
  });
});

describe('a change of the clocks', () => {
  const year = (cron: string, timezone: string) =>
    explainClockChanges({ cron, timezone }, Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)).map(
      ({ date, effects }) => [
        date,
        ...effects.map(({ wall, kind, startsAtMs }) =>
          `${wall} ${kind} ${startsAtMs.map(iso).join()}`.trim(),
        ),
      ],
    );

  test('that leaves out a time starts nothing at it', () => {
    assert.deepEqual(year('30 2 * * *', 'Europe/Berlin'), [
      ['2026-03-29', '02:30 missing'],
      ['2026-10-25', '02:30 once 2026-10-25T01:30'],
    ]);
  });

  test('that shows a time twice starts a run once or twice, as the server does', () => {
    assert.deepEqual(year('30 1 * * *', 'America/New_York'), [
      ['2026-03-08'],
      ['2026-11-01', '01:30 twice 2026-11-01T05:30,2026-11-01T06:30'],
    ]);
  });

  test('is said where the server starts a run that the schedule does not have', () => {
    assert.deepEqual(year('15 1 * * *', 'Europe/Berlin')[1], ['2026-10-25', '02:15 extra 2026-10-25T00:15']);
  });

  test('concerns times to the second, in the order of the wall clock, up to the edges of the gap', () => {
    assert.deepEqual(year('59 59 1 * * * *', 'Europe/Berlin')[0], ['2026-03-29']);
    assert.deepEqual(year('0,59 0,30,59 2,3 * * * *', 'Europe/Berlin')[0], [
      '2026-03-29',
      '02:00 missing',
      '02:00:59 missing',
      '02:30 missing',
      '02:30:59 missing',
      '02:59 missing',
      '02:59:59 missing',
    ]);
  });

  test('is found by the hour it happens in, between both moments, also of a calendar', () => {
    const atMs = Date.UTC(2026, 2, 29, 1);
    const calendar = { hour: 2, minute: 30 };
    const changes = (fromMs: number, untilMs: number) =>
      explainClockChanges({ calendar, timezone: 'Europe/Berlin' }, fromMs, untilMs);
    assert.deepEqual(changes(atMs, atMs), [
      {
        date: '2026-03-29',
        atMs,
        byMs: 3_600_000,
        effects: [{ wall: '02:30', kind: 'missing', startsAtMs: [] }],
      },
    ]);
    assert.equal(changes(atMs - 3_600_000, atMs - 1).length, 0);
    assert.equal(changes(atMs + 1, atMs + 86_400_000).length, 0);
    assert.deepEqual(
      changes(Date.UTC(2026, 9, 25), Date.UTC(2026, 9, 26)).map(({ byMs }) => byMs),
      [-3_600_000],
    );
  });

  test('does not concern intervals', () => {
    assert.deepEqual(
      explainClockChanges({ every: '1h', timezone: 'Europe/Berlin' }, 0, Date.UTC(2027, 0, 1)),
      [],
    );
  });
});

describe('a schedule that cannot be used is refused', () => {
  for (const [definition, problem] of [
    [{}, /^it has no times; say cron, every or calendar$/],
    [{ cron: '0 2 * *' }, /^its cron "0 2 \* \*" cannot be used: it has 4 fields; write five/],
    [{ cron: '0 24 * * *' }, /"24" is no hour; it goes from 0 to 23$/],
    [{ cron: '0 2 * * mun' }, /"mun" is no day of week; it goes from 0 to 7, or by name$/],
    [{ cron: '0 2 L * *' }, /"L" is no day of month/],
    [{ cron: '0 2 * * 5-1' }, /"5-1" is no range of the day of week: it ends before it begins$/],
    [{ cron: 'TZ=UTC 0 2 * * *' }, /the zone is said by timezone, not inside of cron$/],
    [{ cron: '0 2 * * *', overlap: 'skipp' as 'skip' }, /^its overlap "skipp" is none of skip, buffer-one/],
    [{ cron: '0 2 30 2 *' }, /^none of its times ever comes$/],
    [{ cron: '0 2 * * *', timezone: 'Mars/Base' }, /"Mars\/Base" is no IANA zone/],
    [{ every: '500ms' }, /every "500ms" is no whole number of seconds/],
    [{ every: { every: '1h', offset: '2h' } }, /offset "2h" must be whole seconds and less than every "1h"/],
    [{ cron: '0 2 * * *', catchup: '1s' }, /catchup "1s" is less than Temporal's "10s"/],
    [{ cron: '0 2 * * *', jitter: 'a bit' }, /"a bit" is not a duration/],
    [
      { cron: '0 2 * * *', skip: { dates: ['2026-02-30'] } },
      /^it cannot be used: "2026-02-30" is no date to skip; write "2026-12-25", or "12-25" for every year$/,
    ],
    [{ cron: '0 2 * * *', skip: { dates: ['2026-02-29'] } }, /"2026-02-29" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['13-01'] } }, /"13-01" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['12-32'] } }, /"12-32" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['1-1'] } }, /"1-1" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['26-12-25'] } }, /"26-12-25" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['2026-12-25T00'] } }, /"2026-12-25T00" is no date/],
    [{ cron: '0 2 * * *', skip: { dates: ['on 12-25'] } }, /"on 12-25" is no date/],
    [
      { cron: '0 2 * * *', timezone: '' },
      /^its timezone "" is no IANA zone; write such as "Europe\/Berlin"$/,
    ],
    [{ cron: '0 2 * * *', catchup: '9999ms' }, /catchup "9999ms" is less/],
    [{ cron: '0 2 * * *', overlap: 'allow-all', pauseOnFailure: true }, /pauseOnFailure has no effect/],
    [{ cron: '0 2 * * *', until: 'soon' }, /"soon" is no ISO time/],
  ] as readonly (readonly [ScheduleDefinition, RegExp])[])
    test(JSON.stringify(definition), () => {
      assert.match(scheduleProblem(definition) ?? 'nothing is wrong', problem);
    });

  test('while what is right is not', () => {
    for (const date of ['2024-02-29', '02-29', '01-01', '12-31'])
      assert.equal(scheduleProblem({ cron: '@daily', skip: { dates: [date] } }), undefined, date);
    for (const overlap of ['skip', 'buffer-one', 'buffer-all', 'cancel-other', 'terminate-other'] as const)
      assert.equal(scheduleProblem({ cron: '@daily', overlap, pauseOnFailure: true }), undefined, overlap);
    assert.equal(scheduleProblem({ cron: '@daily', overlap: 'allow-all', pauseOnFailure: false }), undefined);
    assert.equal(scheduleProblem({ cron: '@daily', catchup: '10s', jitter: '5m' }), undefined);
    for (const cron of ['@daily', '*/15 8-18 * * mon-fri', '0 2 * * * 2030', '30 0 2 * * 7 *'])
      assert.equal(scheduleProblem({ cron }), undefined, cron);
  });
});
