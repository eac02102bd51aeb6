import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  accountFor,
  lookFrom,
  type Accounting,
  type ScheduleAccount,
  type ScheduledRun,
} from '../../src/core/schedule-account.js';

const HOUR = 3_600_000;
const MADE = Date.UTC(2026, 0, 1, 0, 30);
const SETTLE = 60_000;
/** The n-th full hour after the schedule was made. */
const hour = (n: number) => MADE - HOUR / 2 + n * HOUR;
const none = { overlap: 0, missed: 0, dropped: 0 };

type Given = Omit<Partial<Accounting>, 'view'> & {
  readonly view?: Partial<Accounting['view']>;
  readonly nowMs: number;
};

/** A schedule at each full hour, as it is seen. */
function accounting({ view, ...given }: Given): Accounting {
  return {
    account: undefined,
    view: {
      ...{ scheduleId: 'p/train', pipeline: 'train', digest: 'd1', createdAtMs: MADE, paused: false },
      ...{ counts: none, buffered: 0, definition: { cron: '0 * * * *' } },
      ...view,
    },
    ...{ runs: [], settleMs: SETTLE, retentionMs: 72 * HOUR },
    ...given,
  };
}

/** What is known after looking twice, `settleMs` apart, with the reasons that were given. */
function lookTwice(given: Given) {
  const first = accountFor(accounting(given));
  assert.deepEqual(
    first.skipped.filter(({ reason }) => reason !== 'holiday'),
    [],
  );
  const nowMs = given.nowMs + SETTLE;
  return accountFor(accounting({ ...given, account: first.account, nowMs }));
}

const run = (n: number, more: Partial<ScheduledRun> = {}): ScheduledRun => ({
  ...{ runId: `train/${n}`, atMs: hour(n), startedAtMs: hour(n) + 100, endedAtMs: hour(n) + 200 },
  ...more,
});
const now = (n: number) => hour(n) + 5 * SETTLE;
const account = (more: Partial<ScheduleAccount> = {}): ScheduleAccount => ({
  ...{ createdAtMs: MADE, accountedToMs: hour(3), digest: 'd1', paused: false, counted: none },
  lookedAtMs: hour(3),
  ...more,
});

describe('runs must be known', () => {
  test('from the time up to which is accounted, of the same schedule', () => {
    const look = (given: Given) => lookFrom(accounting(given));
    assert.equal(look({ nowMs: now(9), account: account() }), hour(3));
    assert.equal(look({ nowMs: now(9), account: account({ createdAtMs: MADE - 1 }) }), MADE - 1);
    assert.equal(look({ nowMs: now(9) }), MADE - 1);
    assert.equal(look({ nowMs: now(90) }), now(90) - 72 * HOUR);
  });
});

describe('a time without a run', () => {
  test('is looked at twice, and then said to have had none', () => {
    const first = accountFor(accounting({ nowMs: now(2), runs: [run(1)] }));
    assert.deepEqual(first.skipped, []);
    assert.deepEqual(first.account, {
      ...{ createdAtMs: MADE, accountedToMs: hour(2) - 1, digest: 'd1', paused: false },
      ...{ counted: none, lookedAtMs: now(2), waitingSinceMs: now(2) },
    });
    const early = accountFor(
      accounting({ nowMs: now(2) + SETTLE - 1, runs: [run(1)], account: first.account }),
    );
    assert.deepEqual([early.skipped, early.account.waitingSinceMs], [[], now(2)]);
    const nowMs = now(2) + SETTLE;
    const { skipped, account: known } = accountFor(
      accounting({ nowMs, runs: [run(1)], account: first.account }),
    );
    const text = 'Temporal started no run for it; its id may have been used before.';
    assert.deepEqual(skipped, [{ atMs: hour(2), reason: 'not-started', text, recordedAtMs: nowMs }]);
    assert.deepEqual(known, {
      ...{ createdAtMs: MADE, accountedToMs: nowMs - SETTLE, digest: 'd1', paused: false },
      ...{ counted: none, lookedAtMs: nowMs },
    });
  });

  test('waits on while the server has others to start, and while jitter may hold it back', () => {
    const given = { nowMs: now(2), runs: [run(1)] };
    assert.deepEqual(lookTwice({ ...given, view: { buffered: 1 } }).skipped, []);
    const definition = { cron: '0 * * * *', jitter: '10m' };
    const { skipped, account: known } = lookTwice({ ...given, view: { definition } });
    assert.deepEqual([skipped, known.waitingSinceMs], [[], undefined]);
    assert.equal(
      lookTwice({ ...given, nowMs: hour(2) + 15 * SETTLE, view: { definition } }).skipped.length,
      1,
    );
  });

  test('that came up after the first look is waited for anew', () => {
    const first = accountFor(accounting({ nowMs: now(2), runs: [run(1)] }));
    const { skipped, account: known } = accountFor(
      accounting({ nowMs: now(3), runs: [run(1)], account: first.account }),
    );
    assert.deepEqual(
      skipped.map(({ atMs }) => atMs),
      [hour(2)],
    );
    assert.deepEqual([known.accountedToMs, known.waitingSinceMs], [hour(3) - 1, now(3)]);
  });

  test('has the reason that the server counted, each count once', () => {
    const reasons = (counts: typeof none, runs: readonly ScheduledRun[] = []) =>
      lookTwice({ nowMs: now(3), runs, view: { counts } }).skipped.map(({ reason, text }) => [reason, text]);
    const missed = ['missed', 'Temporal was away for longer than the schedule catches up.'];
    const overlap = ['overlap', 'The run before was still open.'];
    const dropped = ['dropped', 'Too many times of the schedule waited for the run before.'];
    assert.deepEqual(reasons({ missed: 1, overlap: 1, dropped: 1 }), [missed, overlap, dropped]);
    assert.deepEqual(reasons({ missed: 2, overlap: 0, dropped: 1 }), [missed, missed, dropped]);
    assert.deepEqual(reasons({ missed: 0, overlap: 2, dropped: 2 }), [overlap, overlap, dropped]);
    const long = run(1, { endedAtMs: hour(2) + 1 });
    assert.deepEqual(reasons({ missed: 1, overlap: 1, dropped: 0 }, [long]), [
      ['overlap', 'The run before, train/1, was still open.'],
      missed,
    ]);
    assert.equal(reasons({ missed: 0, overlap: 0, dropped: 0 }, [long])[0]?.[0], 'not-started');
  });

  test('met a run that is open, began in time, and had not ended', () => {
    const text = (other: Partial<ScheduledRun>) =>
      lookTwice({ nowMs: now(1), runs: [run(0, other)], view: { counts: { ...none, overlap: 1 } } })
        .skipped[0]?.text;
    const named = 'The run before, train/0, was still open.';
    const { endedAtMs: _ended, ...open } = run(0);
    assert.equal(text({ endedAtMs: hour(1) + 1 }), named);
    assert.equal(text({ endedAtMs: hour(1) }), 'The run before was still open.');
    assert.equal(text({ startedAtMs: hour(1), endedAtMs: hour(1) + 1 }), named);
    assert.equal(text({ startedAtMs: hour(1) + 1, endedAtMs: hour(2) }), 'The run before was still open.');
    const given = { nowMs: now(1), view: { counts: { ...none, overlap: 1 } } };
    assert.equal(lookTwice({ ...given, runs: [open] }).skipped[0]?.text, named);
  });

  test('was paused where the schedule was when it was seen, with the note of who did it', () => {
    const paused = (given: Partial<Accounting['view']>) =>
      lookTwice({ nowMs: now(1), view: { paused: true, ...given } });
    assert.deepEqual(
      [paused({}).skipped[0]?.reason, paused({}).skipped[0]?.text],
      ['paused', 'The schedule was paused.'],
    );
    assert.equal(paused({ note: 'by ana' }).skipped[0]?.text, 'The schedule was paused (by ana).');
    assert.deepEqual([paused({}).account.paused, paused({}).account.pausedToMs], [true, now(1) + SETTLE]);
    const since = (pausedToMs: number) =>
      lookTwice({ nowMs: now(4), account: account({ pausedToMs }) }).skipped.map(({ reason }) => reason);
    assert.deepEqual([since(hour(4)), since(hour(4) - 1)], [['paused'], ['not-started']]);
    const resumed = accountFor(accounting({ nowMs: now(3), account: account({ paused: true }) }));
    assert.equal(resumed.account.pausedToMs, now(3));
  });

  test('is forgotten when it is older than what Temporal keeps', () => {
    const old = lookTwice({ nowMs: now(80), account: account() });
    const first = old.skipped.filter(({ reason }) => reason === 'forgotten');
    assert.deepEqual([first[0]?.atMs, first.at(-1)?.atMs], [hour(4), hour(8)]);
    assert.equal(
      first[0]?.text,
      'Temporal has forgotten what became of this time, since no worker looked for so long.',
    );
    const edge = lookTwice({ nowMs: hour(4) + 72 * HOUR - SETTLE, account: account() });
    assert.equal(edge.skipped[0]?.reason, 'not-started');
  });

  test('of a holiday is recorded at once, in the order of times', () => {
    const definition = {
      cron: '0 * * * *',
      skip: { dates: [{ date: '2026-01-02', name: 'Day off' }, '01-03'] },
    };
    const { skipped } = accountFor(accounting({ nowMs: hour(25), view: { definition }, runs: [] }));
    assert.deepEqual(skipped, []);
    const hours = Array.from({ length: 23 }, (_, n) => run(n + 1));
    const found = accountFor(accounting({ nowMs: now(49), view: { definition }, runs: hours })).skipped;
    assert.deepEqual(
      [found.length, found[0]?.atMs, found[0]?.reason, found[0]?.text],
      [26, hour(24), 'holiday', 'The schedule leaves out 2026-01-02, Day off.'],
    );
    assert.equal(found.at(-1)?.text, 'The schedule leaves out 01-03.');
    const after = lookTwice({ nowMs: now(73), view: { definition }, runs: hours });
    assert.deepEqual(
      after.skipped.map(({ atMs }) => atMs),
      after.skipped.map(({ atMs }) => atMs).toSorted((a, b) => a - b),
    );
  });
});

describe('an account', () => {
  test('follows the counts of the server when nothing waits', () => {
    const counts = { overlap: 4, missed: 2, dropped: 1 };
    const settled = accountFor(accounting({ nowMs: now(1), runs: [run(1)], view: { counts } }));
    assert.deepEqual(settled.account.counted, counts);
    const soon = accountFor(
      accounting({ nowMs: hour(2) + SETTLE / 2, runs: [run(1), run(2)], view: { counts } }),
    );
    assert.deepEqual(soon.account.counted, none);
  });

  test('takes the times before a change from the schedule as it was', () => {
    const change = {
      account: account({ digest: 'd0' }),
      before: { cron: '30 * * * *' },
      view: { updatedAtMs: hour(5) },
    };
    const { skipped, account: known } = lookTwice({ nowMs: now(6), ...change });
    assert.deepEqual(
      skipped.map(({ atMs }) => atMs),
      [hour(3) + HOUR / 2, hour(4) + HOUR / 2, hour(6)],
    );
    assert.equal(known.digest, 'd1');
    const { before: _before, ...unknown } = change;
    assert.deepEqual(
      lookTwice({ nowMs: now(6), ...unknown }).skipped.map(({ atMs }) => atMs),
      [hour(6)],
    );
    const waiting = accountFor(accounting({ nowMs: now(6), ...change }));
    assert.equal(waiting.account.digest, 'd0');
  });

  test('of a schedule that was made again begins anew', () => {
    const { account: known, skipped } = lookTwice({
      nowMs: now(2),
      account: account({
        createdAtMs: MADE - HOUR,
        accountedToMs: hour(2),
        pausedToMs: hour(9),
        digest: 'd0',
      }),
      runs: [run(1)],
    });
    assert.deepEqual(
      skipped.map(({ atMs, reason }) => [atMs, reason]),
      [[hour(2), 'not-started']],
    );
    assert.deepEqual([known.createdAtMs, known.digest, known.pausedToMs], [MADE, 'd1', undefined]);
  });

  test('takes 2,000 times at a look and goes on with the next', () => {
    const definition = { every: '1s' };
    const first = lookTwice({ nowMs: now(9), view: { definition } });
    assert.equal(first.skipped.length, 2_000);
    assert.equal(first.account.accountedToMs, first.skipped.at(-1)?.atMs);
  });
});
