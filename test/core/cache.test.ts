import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { cacheKey, cacheParts, comparePartsOf, nearestOf, type CacheMaterial } from '../../src/core/cache.js';
import { readCacheOptions } from '../../src/core/cache-options.js';
import { claimActivityId, isActivityOf, readGenerations } from '../../src/core/claims.js';

const material: CacheMaterial = {
  step: 'features',
  image: 'python@sha256:1',
  code: 'c1',
  python: 'p1',
  env: { SEED: '1' },
  outputs: { train: { type: 'artifact', kind: 'Dataset' } },
  version: '1',
  command: ['python', 'features.py'],
  parameters: { rate: 0.1 },
  inputs: { data: ['Dataset', 'd1'] },
};
const FILES = { 'features.py': 'f1', 'tables.py': 't1' };

describe('a cache key', () => {
  const changes: { readonly [part: string]: [Partial<CacheMaterial>, typeof FILES?] } = {
    'code features.py': [{ code: 'c2' }, { ...FILES, 'features.py': 'f2' }],
    'python lock': [{ python: 'p2' }],
    image: [{ image: 'python@sha256:2' }],
    version: [{ version: '2' }],
    command: [{ command: ['python', '-O', 'features.py'] }],
    'environment SEED': [{ env: { SEED: '2' } }],
    'output train': [{ outputs: { train: { type: 'artifact', kind: 'Artifact' } } }],
    'parameter rate': [{ parameters: { rate: 0.2 }, command: ['python', 'features.py', '0.2'] }],
    'input data': [{ inputs: { data: ['Dataset', 'd2'] } }],
  };
  for (const [part, [change, files = FILES]] of Object.entries(changes))
    test(`changes with ${part}, which is named`, () => {
      const changed = { ...material, ...change };
      assert.notEqual(cacheKey(changed), cacheKey(material));
      const found = comparePartsOf(cacheParts(material, FILES), cacheParts(changed, files));
      assert.deepEqual(
        found.map((each) => each.part),
        [part],
      );
    });

  test('is the same wherever its parts come from', () => {
    const { step, code, ...rest } = material;
    const reordered: CacheMaterial = { ...rest, code, step };
    assert.equal(cacheKey(reordered), cacheKey(material));
  });

  test('holds no value of an environment variable, and no long text', () => {
    const parts = cacheParts({
      ...material,
      env: { TOKEN: 'hunter2-hunter2' },
      parameters: { long: 'x'.repeat(5_000) },
    });
    const text = JSON.stringify(parts);
    assert.doesNotMatch(text, /hunter2/);
    assert.ok(text.length < 1_000, text);
  });

  test('two materials have one key exactly if they are the same', () => {
    const value = fc.record({ a: fc.integer({ min: 0, max: 2 }), b: fc.constantFrom('', 'x', '1') });
    fc.assert(
      fc.property(value, value, (a, b) => {
        const same = a.a === b.a && a.b === b.b;
        assert.equal(
          cacheKey({ ...material, parameters: a }) === cacheKey({ ...material, parameters: b }),
          same,
        );
      }),
    );
  });
});

describe('the nearest earlier result', () => {
  test('has the fewest differing components, and is the newest of equals', () => {
    const now = { a: '1', b: '2', c: '3' };
    const candidates = [
      { storedAtMs: 9, parts: { a: '1', b: 'x', c: 'x' } },
      { storedAtMs: 1, parts: { a: '1', b: '2', c: 'x' } },
      { storedAtMs: 5, parts: { a: 'x', b: '2', c: '3' } },
      { storedAtMs: 3, parts: { a: '1', b: 'x', c: '3' } },
    ];
    const found = nearestOf(candidates, now);
    assert.equal(found?.nearest.storedAtMs, 5);
    assert.deepEqual(found?.changes, [{ part: 'a', before: 'x', now: '1' }]);
    assert.equal(nearestOf([], now), undefined);
  });

  test('tells what is new and what is gone', () => {
    assert.deepEqual(comparePartsOf({ a: '1' }, { b: '2' }), [
      { part: 'a', before: '1' },
      { part: 'b', now: '2' },
    ]);
  });
});

describe('claims', () => {
  test('generations are read from the names of objects, in order, whatever else is there', () => {
    const prefix = 'cache/train/k';
    assert.deepEqual(
      readGenerations([
        `${prefix}/000010/claim.json`,
        `${prefix}/000002/closed.json`,
        `${prefix}/000002/claim.json`,
        `${prefix}/000002/notes.txt`,
        `${prefix}/1000000/entry.json`,
      ]),
      [
        { number: 2, claim: true, entry: false, closed: true },
        { number: 10, claim: true, entry: false, closed: false },
        { number: 1_000_000, claim: false, entry: true, closed: false },
      ],
    );
  });

  test('an activity belongs to one attempt of one call', () => {
    const holder = { runId: 'r', epoch: 'e', callId: 'c0ffee', attempt: 1 };
    for (const role of ['look-up', 'wait', 'attempt'] as const)
      assert.ok(isActivityOf(holder, claimActivityId(holder, role)));
    assert.ok(!isActivityOf(holder, claimActivityId({ ...holder, attempt: 11 }, 'attempt')));
    assert.ok(!isActivityOf(holder, '7'));
  });
});

describe('what parameters say of the cache', () => {
  test('is read where it is right, and refused by name where it is not', () => {
    assert.deepEqual(readCacheOptions(false), { off: true });
    assert.equal(readCacheOptions(true), undefined);
    assert.deepEqual(readCacheOptions({ refresh: ['a'], verify: 'full' }), {
      refresh: ['a'],
      verify: 'full',
    });
    for (const wrong of [
      null,
      1,
      'no',
      [],
      { refresh: 'a' },
      { refresh: [1] },
      { verify: 'x' },
      { off: true },
    ])
      assert.match(readCacheOptions(wrong) as string, /\$cache/);
  });
});
