import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import {
  checkParameters,
  describeSchema,
  describeValue,
  type ParameterSchema,
} from '../../src/core/schema.js';

const schemas = {
  table: { type: 'string', oneOf: ['mlc_churn', 'wa_churn'], default: 'mlc_churn' },
  threshold: { type: 'number', min: 0, max: 1, default: 0.85 },
  depth: { type: 'number', integer: true, min: 1, default: 3 },
  approve: { type: 'boolean', default: false },
  note: { type: 'string', maxLength: 5, default: '' },
} as const satisfies { readonly [name: string]: ParameterSchema };

const owner = 'pipeline "churn"';
const check = (given: unknown) => checkParameters(owner, schemas, given);

describe('parameters', () => {
  const defaults = { table: 'mlc_churn', threshold: 0.85, depth: 3, approve: false, note: '' };
  for (const given of [undefined, null, {}, { table: undefined, depth: null }])
    test(`take their defaults from ${JSON.stringify(given) ?? 'nothing'}`, () =>
      assert.deepEqual(check(given), { ok: true, values: defaults }));

  test('keep what is given', () => {
    const given = { table: 'wa_churn', threshold: 0, depth: 10, approve: true, note: '12345' };
    assert.deepEqual(check(given), { ok: true, values: given });
  });

  for (const [given, problem] of [
    [[], `The parameters of ${owner} must be one JSON object, found a list.`],
    ['x', `The parameters of ${owner} must be one JSON object, found "x".`],
    [
      { tabel: 'x' },
      'Pipeline "churn" has no parameter "tabel"; it takes "table", "threshold", "depth", "approve", "note".',
    ],
    [
      { toString: 1 },
      'Pipeline "churn" has no parameter "toString"; it takes "table", "threshold", "depth", "approve", "note".',
    ],
    [
      { table: 'churn' },
      `Parameter "table" of ${owner} is "churn"; it must be one of "mlc_churn", "wa_churn".`,
    ],
    [{ threshold: 1.5 }, `Parameter "threshold" of ${owner} is 1.5; it must be a number from 0 to 1.`],
    [{ threshold: '0.5' }, `Parameter "threshold" of ${owner} is "0.5"; it must be a number from 0 to 1.`],
    [{ depth: 1.5 }, `Parameter "depth" of ${owner} is 1.5; it must be a whole number of at least 1.`],
    [{ depth: NaN }, `Parameter "depth" of ${owner} is NaN; it must be a whole number of at least 1.`],
    [{ approve: 'yes' }, `Parameter "approve" of ${owner} is "yes"; it must be true or false.`],
    [
      { note: '123456' },
      `Parameter "note" of ${owner} is "123456"; it must be at most 5 characters (it has 6); put larger data into a dataset.`,
    ],
    [
      { note: 'a\0' },
      `Parameter "note" of ${owner} is "a\\u0000"; it must be a string without NUL characters.`,
    ],
  ] as const)
    test(`refuse ${inspect(given)} in one sentence`, () =>
      assert.deepEqual(check(given), { ok: false, problems: [problem] }));

  test('have a largest size in all', () => {
    const text = { text: { type: 'string' } } as const;
    const given = (length: number) => ({ text: 'x'.repeat(length - '{"text":""}'.length) });
    assert.equal(checkParameters(owner, text, given(1_000_000)).ok, true);
    const checked = checkParameters(owner, text, given(1_000_001));
    assert.match(
      checked.ok ? '' : checked.problems.join(),
      /^The parameters of pipeline "churn" have 1000001 characters of JSON; at most 1000000 .*dataset/,
    );
  });

  test('may lie on the ends of their range, and not outside', () => {
    for (const threshold of [0, 1]) assert.equal(check({ threshold }).ok, true);
    for (const threshold of [-0.001, 1.001, Infinity, -Infinity, true])
      assert.equal(check({ threshold }).ok, false);
    const atMost = { n: { type: 'number', max: 5 } } as const;
    assert.deepEqual(
      [-1e9, 5, 5.1].map((n) => checkParameters(owner, atMost, { n }).ok),
      [true, true, false],
    );
    const atLeast = { n: { type: 'number', min: 5 } } as const;
    assert.deepEqual(
      [4.9, 5, 1e9].map((n) => checkParameters(owner, atLeast, { n }).ok),
      [false, true, true],
    );
  });

  test('of a pipeline that takes none are refused by what it takes', () => {
    assert.deepEqual(checkParameters(owner, {}, { a: 1 }), {
      ok: false,
      problems: ['Pipeline "churn" has no parameter "a"; it takes none.'],
    });
  });

  test('that are no text are refused where text is asked', () => {
    for (const note of [5, true, {}, ['a']]) assert.equal(check({ note }).ok, false, inspect(note));
  });

  test('say everything that is wrong at once', () => {
    const checked = check({ tabel: 1, threshold: -1, approve: 0 });
    assert.equal(checked.ok ? 0 : checked.problems.length, 3);
  });

  test('without a default must be given', () => {
    assert.deepEqual(checkParameters(owner, { rows: { type: 'number', max: 9 } }, {}), {
      ok: false,
      problems: [`Parameter "rows" of ${owner} is missing; it is a number of at most 9.`],
    });
  });

  test('of any JSON may be null', () => {
    const json = { value: { type: 'json', default: 1 } } as const;
    assert.deepEqual(checkParameters(owner, json, { value: null }), { ok: true, values: { value: null } });
  });

  test('are never accepted outside their range, whatever is given', () => {
    fc.assert(
      fc.property(fc.anything(), (threshold) => {
        const checked = check({ threshold });
        if (!checked.ok) return assert.equal(checked.problems.length, 1);
        const { threshold: accepted } = checked.values;
        return assert.ok(typeof accepted === 'number' && accepted >= 0 && accepted <= 1);
      }),
    );
  });
});

describe('schemas in words', () => {
  for (const [schema, words] of [
    [schemas.table, 'one of "mlc_churn", "wa_churn" (default "mlc_churn")'],
    [schemas.threshold, 'a number from 0 to 1 (default 0.85)'],
    [{ type: 'number' }, 'a number'],
    [{ type: 'string' }, 'a string'],
    [{ type: 'json', default: null }, 'a JSON value (default null)'],
  ] as const)
    test(words, () => assert.equal(describeSchema(schema), words));

  for (const [value, words] of [
    [null, 'null'],
    [[], 'a list'],
    [{}, 'an object'],
    ['x'.repeat(58), `"${'x'.repeat(58)}"`],
    ['x'.repeat(59), `"${'x'.repeat(56)}...`],
    [true, 'true'],
  ] as const)
    test(`a value is shown as ${words.slice(0, 20)}`, () => assert.equal(describeValue(value), words));

  test('values are short, however long they are', () => {
    fc.assert(fc.property(fc.anything(), (value) => assert.ok(describeValue(value).length <= 60)));
  });
});
