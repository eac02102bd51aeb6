import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  keyProblem,
  partitionBefore,
  partitionProblem,
  partitionsBetween,
  type PartitionDefinition,
} from '../../src/core/partitions.js';

describe('keys of partitions', () => {
  test('from one to another are all of them, both ends included', () => {
    assert.deepEqual(partitionsBetween('day', '2024-02-28', '2024-03-01'), [
      '2024-02-28',
      '2024-02-29',
      '2024-03-01',
    ]);
    assert.deepEqual(partitionsBetween('hour', '2026-10-24T23', '2026-10-25T01'), [
      '2026-10-24T23',
      '2026-10-25T00',
      '2026-10-25T01',
    ]);
    assert.deepEqual(partitionsBetween('week', '2026-W52', '2027-W01'), ['2026-W52', '2026-W53', '2027-W01']);
  });

  test('of hours and weeks may be named by their days', () => {
    const hours = partitionsBetween('hour', '2026-01-01', '2026-01-02');
    assert.deepEqual([hours.length, hours[0], hours.at(-1)], [48, '2026-01-01T00', '2026-01-02T23']);
    assert.deepEqual(partitionsBetween('week', '2026-01-01', '2026-01-05'), ['2026-W01', '2026-W02']);
  });

  test('are in order and each once, over any range', () => {
    const span = fc.constantFrom('hour' as const, 'day' as const, 'week' as const);
    const day = fc
      .integer({ min: 0, max: 40_000 })
      .map((n) => new Date(n * 86_400_000).toISOString().slice(0, 10));
    fc.assert(
      fc.property(span, day, fc.integer({ min: 0, max: 300 }), (by, from, days) => {
        const to = new Date(Date.parse(from) + days * 86_400_000).toISOString().slice(0, 10);
        const keys = partitionsBetween(by, from, to);
        assert.deepEqual(keys, [...new Set(keys)].toSorted());
        for (const key of keys) assert.equal(keyProblem({ by, parameter: 'p' }, key), undefined, key);
        assert.deepEqual(partitionsBetween(by, keys[0] ?? '', keys.at(-1) ?? ''), keys);
      }),
    );
  });

  test('that are none, or too many, are refused', () => {
    assert.throws(
      () => partitionsBetween('day', '2026-01-02', '2026-01-01'),
      /--to 2026-01-01 is before --from/,
    );
    assert.throws(
      () => partitionsBetween('day', '2026-02-30', '2026-03-01'),
      /"2026-02-30" is no partition by day/,
    );
    assert.throws(() => partitionsBetween('hour', '2000-01-01', '2026-01-01'), /more than 100000/);
    for (const key of ['2026-W54', '2026-W00', '2027-W53', 'x', undefined])
      assert.match(
        keyProblem({ by: 'week', parameter: 'p' }, key) ?? '',
        /is no partition by week; write such as "2026-W48"/,
      );
    assert.equal(keyProblem({ by: 'week', parameter: 'p' }, '2026-W53'), undefined);
    const regions: PartitionDefinition = { keys: ['eu', 'us'], parameter: 'region' };
    assert.match(keyProblem(regions, 'uk') ?? '', /^There is no partition "uk".*; there are eu, us\.$/);
  });

  test('of a schedule are the last whole ones before its time, by the clock of the zone', () => {
    const at = Date.UTC(2026, 10, 24, 23, 30);
    const key = (by: 'hour' | 'day' | 'week', timezone = 'UTC') =>
      partitionBefore({ by, parameter: 'p', timezone }, at);
    assert.deepEqual([key('hour'), key('day'), key('week')], ['2026-11-24T22', '2026-11-23', '2026-W47']);
    assert.equal(key('day', 'Europe/Berlin'), '2026-11-24');
  });

  test('need a parameter of the pipeline that is a text', () => {
    const params = { day: { type: 'string' }, n: { type: 'number' } } as const;
    assert.equal(partitionProblem({ by: 'day', parameter: 'day' }, params), undefined);
    assert.match(partitionProblem({ by: 'day', parameter: 'n' }, params) ?? '', /declared with string\(\)/);
    assert.match(partitionProblem({ keys: ['a', 'a'], parameter: 'day' }, params) ?? '', /each once/);
    assert.equal(partitionProblem({ keys: ['eu', 'north america'], parameter: 'day' }, params), undefined);
    for (const key of ['', 'a,b', ' eu', 'x'.repeat(201)])
      assert.match(partitionProblem({ keys: [key], parameter: 'day' }, params) ?? '', /must be a text of 1/);
    assert.match(
      partitionProblem({ keys: ['a', 'a.r2'], parameter: 'day' }, params) ?? '',
      /"a\.r2" ends as/,
    );
    assert.match(
      partitionProblem({ by: 'day', parameter: 'day', timezone: 'X/Y' }, params) ?? '',
      /no IANA zone/,
    );
  });
});
