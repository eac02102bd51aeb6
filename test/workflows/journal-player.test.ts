import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Journal, JournalEntry } from '../../src/core/journal.js';
import { JournalPlayer } from '../../src/workflows/journal-player.js';

const never = () => false;
const journalOf = (...keys: readonly string[]): Journal => ({
  version: 1,
  entries: keys.map((k, i) => ({ k, v: i })),
  pending: {},
});

/** At rest for certain: no microtask is left when the event loop takes its next turn. */
const atRest = (then: () => void) => void setImmediate(then);
const rest = async () => await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

describe('keys', () => {
  test('say kind, name, input and how often', () => {
    const player = new JournalPlayer(journalOf(), never);
    assert.deepEqual(
      [
        player.keyOf('step', 'train', { depth: 1 }),
        player.keyOf('step', 'train', { depth: 2 }),
        player.keyOf('step', 'train', { depth: 1 }),
        player.keyOf('now', '', undefined),
        player.keyOf('now', '', undefined),
      ],
      [
        'step:train|db90439cdc71283e|0',
        'step:train|43cba8a4fbdeabfe|0',
        'step:train|db90439cdc71283e|1',
        'now:||0',
        'now:||1',
      ],
    );
  });

  test('of calls in one order are the same again, and never twice the same', () => {
    const calls = fc.array(
      fc.tuple(
        fc.constantFrom('step', 'task'),
        fc.constantFrom('a', 'b', 'a|b'),
        fc.constantFrom(undefined, 1, { x: 1 }),
      ),
    );
    fc.assert(
      fc.property(calls, (asked) => {
        const keysOf = (player: JournalPlayer) =>
          asked.map(([kind, name, input]) => player.keyOf(kind as 'step', name, input));
        const keys = keysOf(new JournalPlayer(journalOf(), never));
        assert.deepEqual(keysOf(new JournalPlayer(journalOf(), never)), keys);
        assert.equal(new Set(keys).size, keys.length);
      }),
    );
  });
});

describe('recorded answers', () => {
  test('are given in the order in which they were recorded, whatever the order of asking', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .integer({ min: 1, max: 12 })
          .chain((count) => fc.shuffledSubarray([...Array(count).keys()], { minLength: count })),
        async (order) => {
          const keys = order.map((_, i) => `step:s${i}||0`);
          const player = new JournalPlayer(journalOf(...keys), never, atRest);
          const given: unknown[] = [];
          const answers = order.map(async (i) => {
            const entry = player.recordedEntry(keys[i] ?? '');
            assert.ok(entry);
            given.push((await player.replay(entry)).v);
          });
          await Promise.all(answers);
          assert.deepEqual(
            given,
            keys.map((_, i) => i),
          );
          assert.ok(player.isLive());
        },
      ),
      { numRuns: 50 },
    );
  });

  test('wait for the one before them', async () => {
    const player = new JournalPlayer(journalOf('a', 'b'), never, atRest);
    const given: string[] = [];
    const ask = (key: string) => {
      const entry = player.recordedEntry(key);
      assert.ok(entry);
      player.replayTo(entry, () => given.push(key));
    };
    ask('b');
    await rest();
    assert.deepEqual(given, []);
    ask('a');
    await rest();
    await rest();
    assert.deepEqual(given, ['a', 'b']);
  });

  test('that were given at once hold their place', async () => {
    const player = new JournalPlayer(journalOf('now:||0', 'a'), never, atRest);
    const given: string[] = [];
    const [now, a] = ['now:||0', 'a'].map((key) => player.recordedEntry(key));
    assert.ok(now && a);
    player.replayTo(a, () => given.push('a'));
    await rest();
    assert.deepEqual(given, []);
    player.replayNow(now);
    await rest();
    await rest();
    assert.deepEqual(given, ['a']);
  });

  test('come one at a time: code of any depth reacts to one before the next arrives', async () => {
    const keys = ['a', 'b', 'c'];
    const player = new JournalPlayer(journalOf(...keys), never, atRest);
    const seen: string[] = [];
    const deep = async (levels: number, key: string): Promise<void> => {
      if (levels > 0) return await deep(levels - 1, key);
      const entry = player.recordedEntry(key);
      assert.ok(entry);
      await player.replay(entry);
    };
    await Promise.all(
      keys.map(async (key, i) => {
        await deep(200 - 90 * i, key);
        seen.push(key);
      }),
    );
    assert.deepEqual(seen, keys);
  });
});

describe('live calls', () => {
  test('are held until every recorded answer has been given', async () => {
    const player = new JournalPlayer(journalOf('a'), never, atRest);
    const events: string[] = [];
    const held = player.live().then(() => events.push('live'));
    await rest();
    assert.deepEqual([events, player.isLive(), player.isStuck()], [[], false, true]);
    const entry = player.recordedEntry('a');
    assert.ok(entry);
    player.replayTo(entry, () => events.push('a'));
    await held;
    assert.deepEqual([events, player.isLive(), player.isStuck()], [['a', 'live'], true, false]);
  });

  test('are let go in the order in which they were made', async () => {
    const player = new JournalPlayer(journalOf('a'), never, atRest);
    const events: number[] = [];
    const held = [1, 2, 3].map(async (i) => {
      await player.live();
      events.push(i);
    });
    const entry = player.recordedEntry('a');
    assert.ok(entry);
    player.replayTo(entry, () => events.push(0));
    await Promise.all(held);
    assert.deepEqual(events, [0, 1, 2, 3]);
  });

  test('that nothing recorded holds up are let go at once', async () => {
    const player = new JournalPlayer(journalOf(), never, atRest);
    await player.live();
    assert.deepEqual([player.isLive(), player.isStuck(), player.nextUnasked()], [true, false, undefined]);
  });

  test('are recorded in the order in which they settle, which is that of their answers', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), async (together) => {
        const player = new JournalPlayer(journalOf(), never, atRest);
        const given: string[] = [];
        const settled: Promise<void>[] = [];
        for (const [i, withNext] of together.entries()) {
          const k = `s${i}`;
          settled.push(new Promise((resolve) => player.settle({ k }, () => (given.push(k), resolve()))));
          if (!withNext) await rest();
        }
        await Promise.all(settled);
        assert.deepEqual(
          given,
          player.journal().entries.map(({ k }) => k),
        );
      }),
      { numRuns: 30 },
    );
  });

  test('that settle while the code reacts to another are answered in one turn, then and when the run is taken up again', async () => {
    const given: string[] = [];
    const deliver = (k: string) => () => void given.push(k);
    const first = new JournalPlayer(journalOf(), never, atRest);
    first.settle({ k: 'a' }, deliver('a'));
    await rest();
    first.settle({ k: 'b' }, deliver('b'));
    first.settleNow({ k: 'now:||0' });
    first.settle({ k: 'c' }, deliver('c'));
    await rest();
    assert.deepEqual(
      first.journal().entries.map(({ k, t }) => [k, t]),
      [
        ['a', 1],
        ['b', 2],
        ['now:||0', undefined],
        ['c', 2],
      ],
    );
    const again = new JournalPlayer(first.journal(), never, atRest);
    given.length = 0;
    for (const k of ['a', 'now:||0', 'b']) again.replayTo({ k }, deliver(k));
    for (let turn = 0; turn < 5; turn++) await rest();
    assert.deepEqual(given, ['a']);
    again.replayTo({ k: 'c' }, deliver('c'));
    await rest();
    assert.deepEqual(given, ['a', 'b', 'now:||0', 'c']);
    assert.equal(again.isLive(), true);
    again.settle({ k: 'd' }, deliver('d'));
    assert.equal(again.journal().entries.at(-1)?.t, 3);
  });

  test('are not answered any more once the run continues as new; their answers are recorded', async () => {
    let continues = false;
    const player = new JournalPlayer(journalOf(), () => continues, atRest);
    const given: string[] = [];
    player.settle({ k: 'a' }, () => {
      given.push('a');
      continues = true;
    });
    await rest();
    player.settle({ k: 'b' }, () => given.push('b'));
    for (let turn = 0; turn < 5; turn++) await rest();
    assert.deepEqual([given, player.journal().entries.map(({ k }) => k)], [['a'], ['a', 'b']]);
  });

  test('keep what was pending, until they settle', () => {
    const before: Journal = { version: 1, entries: [], pending: { sleep: { deadlineMs: 5 } } };
    const player = new JournalPlayer(before, never);
    assert.deepEqual(player.pendingOf('sleep'), { deadlineMs: 5 });
    player.setPending('sleep', { deadlineMs: 5 });
    player.setPending('gate', { announced: true });
    assert.deepEqual(player.journal().pending, { sleep: { deadlineMs: 5 }, gate: { announced: true } });
    player.settle({ k: 'sleep' }, () => undefined);
    assert.deepEqual(player.journal().pending, { gate: { announced: true } });
  });
});

describe('a function that is run again', () => {
  /** What a call does: after how many microtasks it asks, under which of a few names. */
  const branch = fc.array(
    fc.record({ name: fc.constantFrom('x', 'y'), after: fc.integer({ min: 0, max: 40 }) }),
    { maxLength: 4 },
  );

  test('asks for the same and goes the same way, however its branches interleave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(branch, { maxLength: 4 }),
        fc.infiniteStream(fc.nat(5)),
        async (branches, delays) => {
          const first = await play(journalOf(), branches, delays);
          const again = await play(first.journal, branches, delays);
          assert.deepEqual(again.trace, first.trace);
          assert.deepEqual(again.journal.entries, first.journal.entries);
          assert.deepEqual([first.made, again.made], [first.journal.entries.length, 0]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('from the middle of its journal makes the rest, and nothing twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(branch, { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.nat(5)),
        fc.nat(16),
        async (branches, delays, cut) => {
          const first = await play(journalOf(), branches, delays);
          const entries = first.journal.entries.slice(0, cut);
          const again = await play({ version: 1, entries, pending: {} }, branches, delays);
          assert.equal(again.made, first.journal.entries.length - entries.length);
          assert.deepEqual(again.journal.entries.slice(0, entries.length), entries);
          assert.deepEqual(
            again.journal.entries.map(({ k }) => k).sort(),
            first.journal.entries.map(({ k }) => k).sort(),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('another way is found out: what it does not ask for is named', async () => {
    const player = new JournalPlayer(journalOf('step:a||0', 'step:b||0'), never, atRest);
    const entry = player.recordedEntry('step:a||0');
    assert.ok(entry);
    await player.replay(entry);
    assert.equal(player.isStuck(), false);
    void player.live();
    await rest();
    assert.deepEqual([player.isStuck(), player.nextUnasked()?.k], [true, 'step:b||0']);
  });
});

interface Played {
  readonly trace: readonly string[];
  readonly journal: Journal;
  /** Calls that were made, not answered from the journal. */
  readonly made: number;
}

/** Runs branches side by side; each call takes the next delay, and what it answers depends on when it settled. */
async function play(
  journal: Journal,
  branches: readonly (readonly { readonly name: string; readonly after: number }[])[],
  delays: Iterable<number>,
): Promise<Played> {
  const player = new JournalPlayer(journal, never, atRest);
  const delay = delays[Symbol.iterator]();
  const trace: string[] = [];
  let made = 0;
  const call = async (name: string): Promise<unknown> => {
    const key = player.keyOf('step', name, undefined);
    trace.push(`ask ${key}`);
    const recorded = player.recordedEntry(key);
    if (recorded) return (await player.replay(recorded)).v;
    await player.live();
    made++;
    for (let turn: number = delay.next().value ?? 0; turn > 0; turn--) await rest();
    return await new Promise((resolve) => {
      const entry: JournalEntry = { k: key, v: `${key} #${made}` };
      player.settle(entry, () => resolve(entry.v));
    });
  };
  await Promise.all(
    branches.map(async (calls) => {
      for (const { name, after } of calls) {
        for (let turn = 0; turn < after; turn++) await Promise.resolve();
        trace.push(`got ${String(await call(name))}`);
      }
    }),
  );
  return { trace, journal: player.journal(), made };
}
