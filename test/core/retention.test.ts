import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  decideGenerations,
  decideRuns,
  endingUnits,
  isOldPayload,
  dayOf,
  readRetention,
  referencesIn,
  unitOf,
  type AgedGeneration,
  type StoredRun,
} from '../../src/core/retention.js';

const DAY = 86_400_000;
const NOW = 1_000 * DAY;
const policy = readRetention({ keepLast: 1 });
const nobody = { held: new Set<string>(), registered: new Set<string>() };

function run(executionId: string, daysAgo: number, given: Partial<StoredRun> = {}): StoredRun {
  const endedAtMs = NOW - daysAgo * DAY;
  return {
    ...{ executionId, runId: `run-${executionId}`, pipeline: 'p', live: false },
    ...{ endedAtMs, newestMs: endedAtMs, children: [] },
    ...given,
  };
}

function decide(runs: readonly StoredRun[], kept = nobody) {
  return Object.fromEntries(decideRuns(runs, { policy, nowMs: NOW, kept }));
}

describe('runs', () => {
  test('old ones go, but for the newest of each pipeline, however old', () => {
    const runs = [
      run('a', 100),
      run('b', 200),
      run('c', 300, { pipeline: 'q' }),
      run('d', 89, { pipeline: 'r' }),
    ];
    assert.deepEqual(decide(runs), { a: 'newest', b: 'expired', c: 'newest', d: 'recent' });
  });

  test('open, held and registered ones stay, and do not count among the newest where they are open', () => {
    const runs = [run('a', 100, { live: true }), run('b', 200), run('c', 300), run('d', 400), run('e', 500)];
    assert.deepEqual(decide(runs, { held: new Set(['c']), registered: new Set(['d']) }), {
      ...{ a: 'live', b: 'newest', c: 'held', d: 'registered', e: 'expired' },
    });
  });

  test('one of which something was written a moment ago stays', () => {
    assert.equal(decide([run('a', 100), run('b', 200, { newestMs: NOW - 1 })])['b'], 'recent');
  });

  test('is as old as the policy says to the millisecond', () => {
    const at = (endedAtMs: number, newestMs = endedAtMs) =>
      decide([run('new', 1), run('x', 0, { endedAtMs, newestMs })])['x'];
    assert.equal(at(NOW - 90 * DAY), 'expired');
    assert.equal(at(NOW - 90 * DAY + 1), 'recent');
    assert.equal(at(NOW - 91 * DAY, NOW - DAY), 'expired');
    assert.equal(at(NOW - 91 * DAY, NOW - DAY + 1), 'recent');
  });

  test('children of a run that goes go, and those that stay by themselves keep their reason', () => {
    const runs = [
      run('new', 1),
      run('gone', 200, { children: ['run-child', 'run-held', 'run-nobody'] }),
      run('child', 200),
      run('held', 200, { children: ['run-new'] }),
    ];
    assert.deepEqual(decide(runs, { ...nobody, held: new Set(['held']) }), {
      ...{ new: 'recent', gone: 'expired', child: 'expired', held: 'held' },
    });
  });

  test('one that no record and no server names goes by its age', () => {
    const unknown = {
      executionId: 'x',
      live: false,
      endedAtMs: NOW - 91 * DAY,
      newestMs: NOW - 91 * DAY,
      children: [],
    };
    assert.deepEqual(decide([unknown]), { x: 'expired' });
  });

  test('sub-pipelines stay with the run that they are part of, over several levels', () => {
    const runs = [
      run('child', 150, { children: ['run-grandchild'] }),
      run('grandchild', 160),
      run('other', 170),
      run('parent', 140, { children: ['run-child'] }),
    ];
    assert.deepEqual(decide(runs), { parent: 'newest', child: 'part', grandchild: 'part', other: 'expired' });
  });

  test('where others use an attempt it stays, and the record that says where it comes from', () => {
    const units = ['runs/e/attempts/a', 'runs/e/attempts/b', 'runs/e/checkpoints', 'runs/e/run.json'];
    assert.deepEqual([...endingUnits('e', units, new Set(['runs/e/attempts/a']))], [units[1], units[2]]);
    assert.deepEqual([...endingUnits('e', units, new Set(['runs/f/attempts/a']))], units);
  });
});

describe('generations of a cache key', () => {
  const old: AgedGeneration = {
    number: 1,
    claim: true,
    entry: false,
    closed: false,
    newestMs: NOW - 100 * DAY,
  };
  const ends = (...generations: AgedGeneration[]) =>
    Object.fromEntries(decideGenerations(generations, { policy, nowMs: NOW }));

  test('closed ones and results that were replaced go, open claims never', () => {
    const young = NOW - 2 * DAY;
    assert.deepEqual(
      ends(
        old,
        { ...old, number: 2, closed: true },
        { ...old, number: 3, entry: true },
        { ...old, number: 4, entry: true, closed: true },
        { ...old, number: 5, entry: true, newestMs: young },
      ),
      { 2: 'closed', 3: 'replaced', 4: 'closed' },
    );
  });

  test('a result goes when it was neither made nor used for long, and when its files are gone', () => {
    const result = { ...old, entry: true };
    assert.deepEqual(ends(result), { 1: 'expired' });
    assert.deepEqual(ends({ ...result, usedAtMs: NOW - 29 * DAY }), {});
    assert.deepEqual(ends({ ...result, usedAtMs: NOW - 30 * DAY }), { 1: 'expired' });
    assert.deepEqual(ends({ ...result, newestMs: NOW - 2 * DAY, broken: true }), { 1: 'broken' });
  });

  test('what was written within the grace stays, whatever it is', () => {
    assert.deepEqual(ends({ ...old, closed: true, newestMs: NOW - DAY / 2 }), {});
    assert.deepEqual(ends({ ...old, closed: true, newestMs: NOW - DAY + 1 }), {});
    assert.deepEqual(ends({ ...old, closed: true, newestMs: NOW - DAY }), { 1: 'closed' });
  });

  test('a result is not replaced by one that counts no more', () => {
    const young = { ...old, entry: true, newestMs: NOW - 2 * DAY };
    assert.deepEqual(ends(young, { ...young, number: 2, closed: true }), { 2: 'closed' });
  });
});

describe('references', () => {
  test('are found in URIs of files and of buckets, and by key', () => {
    const sha = 'a'.repeat(64);
    const text = JSON.stringify({
      uri: 'file:///data/store/runs/e-1/attempts/train-a1/outputs/model',
      other: ['s3://bucket/p/runs/e-2/attempts/x-a2'],
      listing: 'runs/e-3/datasets/abc.json',
      key: `payloads/2026-11-23/${sha}`,
      before: `payloads/${sha}`,
      none: 'runs/e-4/run.json',
    });
    assert.deepEqual(referencesIn(text), [
      'runs/e-1/attempts/train-a1',
      'runs/e-2/attempts/x-a2',
      'runs/e-3/datasets/abc.json',
      `payloads/2026-11-23/${sha}`,
      `payloads/${sha}`,
    ]);
  });

  test('have the names that units of keys have', () => {
    assert.equal(unitOf('runs/e-1/attempts/train-a1/outputs/model/MLmodel'), 'runs/e-1/attempts/train-a1');
    assert.equal(unitOf('runs/e-3/datasets/abc.json'), 'runs/e-3/datasets/abc.json');
    assert.equal(unitOf('runs/e-3/checkpoints/c/a/1/files/x'), 'runs/e-3/checkpoints');
    assert.equal(unitOf('runs/e-3/run.json'), 'runs/e-3/run.json');
  });
});

test('a payload is old when its whole day is beyond the grace', () => {
  const now = { policy, nowMs: Date.parse('2026-11-23T12:00:00Z') };
  const of = (day: string, modified: string) => ({
    key: `payloads/${day}/x`,
    modifiedAtMs: Date.parse(modified),
  });
  assert.equal(isOldPayload(of('2026-11-21', '2026-11-21T01:00:00Z'), now), true);
  assert.equal(isOldPayload(of('2026-11-22', '2026-11-22T00:00:00Z'), now), false);
  assert.equal(isOldPayload(of('2026-11-21', '2026-11-23T01:00:00Z'), now), false);
  // One from before days were part of keys goes by its own time.
  assert.equal(isOldPayload({ key: `payloads/${'a'.repeat(64)}`, modifiedAtMs: 0 }, now), true);
  assert.equal(
    isOldPayload({ key: `payloads/${'a'.repeat(64)}`, modifiedAtMs: now.nowMs - DAY + 1 }, now),
    false,
  );
  assert.equal(isOldPayload({ key: `payloads/${'a'.repeat(64)}`, modifiedAtMs: now.nowMs - DAY }, now), true);
  assert.equal(dayOf(now.nowMs), '2026-11-23');
});

test('a policy that is not written has its defaults', () => {
  assert.deepEqual(readRetention(), {
    ...{ ageMs: 90 * DAY, keepLast: 10, cacheMs: 30 * DAY, checkpointsMs: 7 * DAY, graceMs: DAY },
  });
});
