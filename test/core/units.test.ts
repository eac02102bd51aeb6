import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from '../../src/core/duration.js';
import { formatBytes, parseBytes, toQuantity } from '../../src/core/quantity.js';

describe('durations', () => {
  for (const [text, ms] of [
    ['0s', 0],
    ['500ms', 500],
    ['1.5s', 1_500],
    ['1.25s', 1_250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['12h', 43_200_000],
    ['3d', 259_200_000],
  ] as const)
    test(`"${text}" has ${ms} milliseconds`, () => assert.equal(parseDuration(text), ms));

  for (const text of ['', '5', 's', '-5s', '5 s', '5S', '1e3s', '5s ', '5min', '.5s', '5.s', '1h30m'])
    test(`refuses "${text}" and says what is allowed`, () =>
      assert.throws(() => parseDuration(text), {
        name: 'TypeError',
        message: `"${text}" is not a duration; write a number and ms, s, m, h or d, such as "30s"`,
      }));

  for (const [ms, text] of [
    [0, '0ms'],
    [999.4, '999ms'],
    [999.5, '1.0s'],
    [59_950, '1m 00s'],
    [60_000, '1m 00s'],
    [3_600_000, '1h 00m'],
    [86_400_000, '1d 0h'],
    [340, '340ms'],
    [999.7, '1.0s'],
    [4_200, '4.2s'],
    [59_949, '59.9s'],
    [59_999, '1m 00s'],
    [185_000, '3m 05s'],
    [7_800_000, '2h 10m'],
    [273_600_000, '3d 4h'],
  ] as const)
    test(`${ms} milliseconds are shown as ${text}`, () => assert.equal(formatDuration(ms), text));

  test('never show sixty of a unit', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e10, noNaN: true }), (ms) => {
        assert.doesNotMatch(formatDuration(ms), /\b60(\.0)?[sm]|\b24h|\b1000ms/);
      }),
    );
  });
});

describe('amounts of memory', () => {
  for (const [text, bytes] of [
    ['512', 512],
    ['1k', 1_000],
    ['1Ki', 1_024],
    ['512Mi', 536_870_912],
    ['1.5Gi', 1_610_612_736],
    ['1.25Gi', 1_342_177_280],
    ['8Gi', 8_589_934_592],
    ['1T', 1e12],
  ] as const)
    test(`"${text}" has ${bytes} bytes`, () => assert.equal(parseBytes(text), bytes));

  for (const text of ['', 'Gi', '8 Gi', '8gi', '8GB', '-1Gi', '1e3'])
    test(`refuses "${text}" and says what is allowed`, () =>
      assert.throws(() => parseBytes(text), {
        name: 'TypeError',
        message: `"${text}" is not an amount of memory; write a number and Ki, Mi, Gi or Ti, such as "8Gi"`,
      }));

  test('are shown in binary units', () => {
    assert.deepEqual([512, 1_023, 1_024, 2_048, 536_870_912, 1_610_612_736].map(formatBytes), [
      '512 bytes',
      '1023 bytes',
      '1Ki',
      '2Ki',
      '512Mi',
      '1.5Gi',
    ]);
  });

  test('are written in the largest unit that they are a whole number of', () => {
    assert.deepEqual(
      [2 ** 20, 2 ** 30, 3 * 2 ** 29, 2 ** 40, 2 ** 41 + 2 ** 30, 2 ** 20 * 1.5].map(toQuantity),
      ['1Mi', '1Gi', '1536Mi', '1Ti', '2049Gi', '1Mi'],
    );
  });

  test('are written as text that is read as no more, and less than a mebibyte less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2 ** 20, max: 2 ** 50 }), (bytes) => {
        const read = parseBytes(toQuantity(bytes));
        assert.ok(read <= bytes && bytes - read < 2 ** 20, `${bytes} became ${read}`);
      }),
    );
  });
});
