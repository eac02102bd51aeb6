import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  cacheKey,
  cacheParts,
  comparePartsOf,
  inputDigests,
  nearestOf,
  type CacheMaterial,
} from '../../src/core/cache.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
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

describe('a cache key of any material', () => {
  const word = fc.constantFrom('', 'a', 'b', '1', 'null', '"');
  const words = fc.dictionary(fc.constantFrom('x', 'y', 'a'), word, { maxKeys: 2 });
  const any: fc.Arbitrary<CacheMaterial> = fc.record(
    {
      step: word,
      code: fc.option(word, { nil: undefined }),
      image: word,
      python: word,
      version: word,
      env: words,
      outputs: fc.constantFrom({}, { o: { type: 'artifact', kind: 'Model' } }, { o: { type: 'string' } }),
      command: fc.array(word, { maxLength: 3 }),
      parameters: fc.dictionary(fc.constantFrom('x', 'y'), fc.oneof(word, fc.nat(2), fc.boolean()), {
        maxKeys: 2,
      }),
      inputs: fc.dictionary(fc.constantFrom('i', 'j'), fc.tuple(fc.constantFrom('Model', 'Dataset'), word)),
    },
    { requiredKeys: ['step', 'code', 'env', 'outputs', 'command', 'parameters', 'inputs'] },
  );
  /** Written once more, by other means: members in order, and nothing that is absent. */
  const text = (value: unknown): string =>
    Array.isArray(value)
      ? `[${value.map(text).join()}]`
      : typeof value === 'object' && value !== null
        ? `{${Object.entries(value)
            .filter(([, member]) => member !== undefined)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, member]) => `${JSON.stringify(name)}:${text(member)}`)
            .join()}}`
        : JSON.stringify(value);

  test('is that of another one exactly if both say the same, in every part', () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        assert.equal(cacheKey(a) === cacheKey(b), text(a) === text(b));
        assert.match(cacheKey(a), /^[0-9a-f]{64}$/);
      }),
      { numRuns: 500 },
    );
  });

  test('is another whenever one part is, and that part is named', () => {
    fc.assert(
      fc.property(any, fc.constantFrom('image', 'python', 'version'), word, word, (of, part, before, now) => {
        const [a, b] = [
          { ...of, [part]: before },
          { ...of, [part]: now },
        ];
        assert.equal(cacheKey(a) === cacheKey(b), before === now);
        const names = comparePartsOf(cacheParts(a), cacheParts(b)).map((change) => change.part);
        assert.deepEqual(names, before === now ? [] : [part === 'python' ? 'python lock' : part]);
      }),
    );
  });

  test('takes of an input its kind and contents, and not where it lies', () => {
    const ref = (uri: string, digest: string, kind: ArtifactRef['kind'] = 'Dataset'): ArtifactRef => ({
      ...{ kind, uri, digest, sizeBytes: uri.length },
      ...{ form: 'file', values: { rows: uri.length } },
    });
    assert.deepEqual(inputDigests({ a: ref('file:///a', 'd') }), { a: ['Dataset', 'd'] });
    const key = (input: ArtifactRef) => cacheKey({ ...material, inputs: inputDigests({ data: input }) });
    fc.assert(
      fc.property(fc.webUrl(), fc.webUrl(), word, word, (from, to, a, b) =>
        assert.equal(key(ref(from, a)) === key(ref(to, b)), a === b),
      ),
    );
    assert.notEqual(key(ref('u', 'd')), key(ref('u', 'd', 'Model')));
  });
});

describe('the components of a key', () => {
  test('are code files by name up to 500, the code as one where there are more, or none is known', () => {
    const files = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n}.py`, `${n}`]));
    const codeParts = (count: number) =>
      Object.keys(cacheParts(material, files(count))).filter((part) => part.startsWith('code'));
    assert.equal(codeParts(500).length, 500);
    for (const count of [0, 501]) assert.deepEqual(codeParts(count), ['code']);
    assert.notEqual(cacheParts(material)['code'], cacheParts({ ...material, code: 'c2' })['code']);
    assert.match(cacheParts({ ...material, code: undefined })['code'] ?? '', /^sha256:e3b0c44298fc1c14$/);
  });

  test('are shown up to 120 characters, and longer ones by the beginning of their digest', () => {
    const shown = (length: number) =>
      cacheParts({ ...material, parameters: { p: 'x'.repeat(length - 2) } })['parameter p'] ?? '';
    assert.equal(shown(120), `"${'x'.repeat(118)}"`);
    assert.match(shown(121), /^sha256:[0-9a-f]{16}$/);
  });

  test('that are not there are not named', () => {
    const { image: _i, python: _p, version: _v, ...bare } = material;
    const parts = Object.keys(cacheParts(bare));
    assert.deepEqual(
      parts.filter((part) => ['image', 'python lock', 'version'].includes(part)),
      [],
    );
    assert.equal(cacheParts({ ...material, image: 'i' })['image'], 'i');
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

  test('is the newest of those that differ in as many components, in whatever order they come', () => {
    const candidates = [4, 7, 2, 7].map((storedAtMs, n) => ({ storedAtMs, n, parts: { a: 'x' } }));
    assert.equal(nearestOf(candidates, { a: '1' })?.nearest.n, 1);
    assert.equal(nearestOf([...candidates].reverse(), { a: '1' })?.nearest.n, 3);
  });

  test('differs in the order of names', () => {
    assert.deepEqual(
      comparePartsOf({ z: '1', b: '1' }, { z: '2', b: '2', a: '1' }).map(({ part }) => part),
      ['a', 'b', 'z'],
    );
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
        `${prefix}/000003/claim.json.tmp`,
        `${prefix}/00004/claim.json`,
        `${prefix}/claim.json`,
        '',
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
    assert.equal(readCacheOptions(undefined), undefined);
    assert.deepEqual(readCacheOptions({}), {});
    assert.deepEqual(readCacheOptions({ verify: 'size' }), {});
    assert.deepEqual(readCacheOptions({ verify: 'full' }), { verify: 'full' });
    assert.deepEqual(readCacheOptions({ refresh: [] }), { refresh: [] });
    for (const wrong of [
      null,
      1,
      'no',
      [],
      { refresh: 'a' },
      { refresh: [1] },
      { refresh: ['a', 1] },
      { refresh: null },
      { verify: '' },
      { verify: null },
      { verify: 'x' },
      { off: true },
    ])
      assert.match(readCacheOptions(wrong) as string, /\$cache/);
  });
});
