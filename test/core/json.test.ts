import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { base32Digest, digestOf, digestOfText } from '../../src/core/digest.js';
import { canonicalJson } from '../../src/core/json.js';

// JSON has one zero: what is written as 0 is read as 0.
const json = fc
  .jsonValue({ noUnicodeString: false })
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

describe('canonical JSON', () => {
  test('is JSON of the same value', () => {
    fc.assert(fc.property(json, (value) => assert.deepEqual(JSON.parse(canonicalJson(value)), value)));
  });

  test('does not depend on the order of members', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), json)), (members) => {
        const forth = Object.fromEntries(members);
        const back = Object.fromEntries(Object.entries(forth).reverse());
        assert.equal(canonicalJson(forth), canonicalJson(back));
      }),
    );
  });

  test('is its own canonical form', () => {
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value);
        assert.equal(canonicalJson(JSON.parse(text)), text);
      }),
    );
  });

  test('tells different values apart', () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        const equal = canonicalJson(a) === canonicalJson(b);
        assert.equal(equal, isDeepEqual(a, b));
      }),
    );
  });

  for (const [value, text] of [
    [{ b: 1, a: [true, null, 'x'] }, '{"a":[true,null,"x"],"b":1}'],
    [{ a: undefined, b: 1 }, '{"b":1}'],
    [{ é: 1, z: 2, Z: 3 }, '{"Z":3,"z":2,"é":1}'],
    [-0, '0'],
    [{ toJSON: 1 }, '{"toJSON":1}'],
    [Object.create(null), '{}'],
    [{ c: 1, a: 2, b: 3, d: 0 }, '{"a":2,"b":3,"c":1,"d":0}'],
    [1e21, '1e+21'],
    ['\u2028"\\', '"\u2028\\"\\\\"'],
  ] as const)
    test(`writes ${text}`, () => assert.equal(canonicalJson(value), text));

  for (const [name, value, message] of [
    ['NaN', { a: [NaN] }, '$.a[0] is NaN, which JSON cannot carry'],
    ['an infinity', Infinity, '$ is Infinity, which JSON cannot carry'],
    ['undefined in a list', [undefined], '$[0] is a undefined, which JSON cannot carry'],
    ['a hole in a list', Array(1), '$[0] is a undefined, which JSON cannot carry'],
    ['a function', { f: () => 1 }, '$.f is a function, which JSON cannot carry'],
    ['a bigint', 1n, '$ is a bigint, which JSON cannot carry'],
    ['a date', { at: new Date(0) }, '$.at is a Date, which JSON cannot carry'],
    ['a list inside a member', { a: { b: [1, () => 1] } }, '$.a.b[1] is a function, which JSON cannot carry'],
    ['a symbol', Symbol('s'), '$ is a symbol, which JSON cannot carry'],
    ['a map', new Map([[1, 2]]), '$ is a Map, which JSON cannot carry'],
    ['what writes itself', { toJSON: () => 1 }, '$ is a object with toJSON(), which JSON cannot carry'],
  ] as const)
    test(`refuses ${name}, naming the place`, () =>
      assert.throws(() => canonicalJson(value), { name: 'TypeError', message }));
});

describe('digests', () => {
  test('are those of sha256', () => {
    assert.equal(digestOfText(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(digestOfText('é'), '4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c');
    assert.equal(digestOf({ b: 1, a: 2 }), digestOfText('{"a":2,"b":1}'));
  });

  test('in base32 are the first characters of RFC 4648, in lower case', () => {
    assert.equal(base32Digest('', 16), '4oymiquy7qobjgx3');
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 51 }), (text, length) => {
        const found = base32Digest(text, length);
        assert.match(found, /^[a-z2-7]*$/);
        assert.equal(found.length, length);
        assert.ok(base32Digest(text, 51).startsWith(found));
      }),
    );
  });
});

function isDeepEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
