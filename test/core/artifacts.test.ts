import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { treeDigest, type ArtifactRef, type FileEntry } from '../../src/core/artifacts.js';
import type { AttemptRequest, AttemptSucceeded } from '../../src/core/attempt.js';
import { digestOfText } from '../../src/core/digest.js';
import {
  buildLineageStep,
  buildOrigin,
  buildPointers,
  buildReusePointer,
  buildRunPointer,
  KEPT_PARAMETERS,
  producerOf,
} from '../../src/core/lineage.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { datasetUriProblem, PINNED_OBJECTS, pinDigest, type FoundData } from '../../src/core/pinned-data.js';

const sha = (text: string) => digestOfText(text);
const name = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
  fc.constantFrom('a', 'a b', 'b', 'B', '..x', 'é', 'e\u0301', '日本', 'x'.repeat(255), 'a\nb'),
);
const entry: fc.Arbitrary<FileEntry> = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
  sizeBytes: fc.nat(),
  sha256: fc.constantFrom(sha('a'), sha('b')),
});
const tree = fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 6 });
const inOrder = (files: readonly FileEntry[]) =>
  JSON.stringify(
    [...files]
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map((file) => [file.path, file.sizeBytes, file.sha256]),
  );

describe('the digest of a directory, as its manifest has it', () => {
  test('stays what it is: stored artifacts and cache keys carry it', () => {
    const files = [
      { path: 'b/c', sizeBytes: 2, sha256: 'y' },
      { path: 'a', sizeBytes: 1, sha256: 'x' },
    ];
    assert.equal(treeDigest(files), sha('[["a",1,"x"],["b/c",2,"y"]]'));
    assert.equal(treeDigest([]), sha('[]'));
  });

  test('is that of another directory exactly if both hold the same files, in whatever order they are listed', () => {
    fc.assert(
      fc.property(tree, tree, fc.integer(), (a, b, turn) => {
        assert.equal(treeDigest(a) === treeDigest(b), inOrder(a) === inOrder(b));
        const at = a.length === 0 ? 0 : Math.abs(turn) % a.length;
        assert.equal(treeDigest([...a.slice(at), ...a.slice(0, at)].reverse()), treeDigest(a));
      }),
      { numRuns: 300 },
    );
  });

  test('is another when one file is renamed, changed, longer, gone or new', () => {
    fc.assert(
      fc.property(tree, entry, fc.nat(), (files, other, at) => {
        fc.pre(files.length > 0 && !files.some(({ path }) => path === other.path));
        const index = at % files.length;
        const without = files.filter((_, i) => i !== index);
        const found = files[index] ?? assert.fail();
        const changed = [
          without,
          [...files, other],
          [...without, { ...found, path: other.path }],
          [...without, { ...found, sizeBytes: found.sizeBytes + 1 }],
          [...without, { ...found, sha256: sha('c') }],
        ];
        assert.equal(new Set([files, ...changed].map((each) => treeDigest(each))).size, 6);
      }),
    );
  });

  test('cannot be that of a directory whose names run together otherwise', () => {
    const one = [{ path: 'a', sizeBytes: 1, sha256: '1x' }];
    const two = [{ path: 'a', sizeBytes: 11, sha256: 'x' }];
    assert.notEqual(treeDigest(one), treeDigest(two));
  });
});

describe('the digest of data outside the store', () => {
  const found = (objects: FoundData['objects'], given: Partial<FoundData> = {}): FoundData => ({
    ...{ source: 's3://b/k', form: 'directory', objects },
    ...given,
  });
  const known = { path: 'a', sizeBytes: 1, sha256: sha('a') };

  test('is that of its contents where all of them are known, wherever it lies', () => {
    assert.equal(pinDigest(found([known], { form: 'file' })), sha('a'));
    assert.equal(pinDigest(found([known])), treeDigest([known]));
    assert.equal(pinDigest(found([known], { source: 's3://elsewhere' })), treeDigest([known]));
  });

  test('is that of its place, sizes and ETags where not', () => {
    const tagged = { path: 'b', sizeBytes: 2, etag: '"e"' };
    const digests = [
      found([known, tagged]),
      found([known, tagged], { source: 's3://elsewhere' }),
      found([known, { ...tagged, etag: '"f"' }]),
      found([known, { ...tagged, sizeBytes: 3 }]),
      found([known, { ...tagged, path: 'c' }]),
      found([tagged]),
      found([]),
      found([{ path: 'b', sizeBytes: 2 }]),
    ].map(pinDigest);
    assert.equal(new Set(digests).size, digests.length);
    assert.equal(
      pinDigest(found([known, tagged])),
      sha(`{"objects":[["a",1,"${sha('a')}"],["b",2,"\\"e\\""]],"source":"s3://b/k"}`),
    );
    assert.equal(
      pinDigest(found([{ path: 'b', sizeBytes: 2 }])),
      sha('{"objects":[["b",2,""]],"source":"s3://b/k"}'),
    );
  });

  const FORMS = 's3://BUCKET/KEY, s3://BUCKET/PREFIX/, https://HOST/PATH or file:///PATH';
  for (const [uri, problem] of [
    ['s3://bucket/key', undefined],
    ['s3://bucket/p/', undefined],
    ['file:///data', undefined],
    ['https://host/data.csv?x=1#y', undefined],
    ['http://host', undefined],
    [`https://h/${'x'.repeat(1_990)}`, undefined],
    [`https://h/${'x'.repeat(1_991)}`, 'at most 2000 characters long (it has 2001)'],
    ['s3://bucket', FORMS],
    ['s3://bucket/', FORMS],
    ['s3:///key', FORMS],
    ['file:///', FORMS],
    ['file://host/data', FORMS],
    ['https://', FORMS],
    ['ftp://host/x', FORMS],
    ['xs3://bucket/key', FORMS],
    ['xfile:///data', FORMS],
    ['xhttps://host', FORMS],
    ['/data', FORMS],
    [
      'https://ann:pw@host/data',
      'without a user or password: it is shown with the run. Use s3:// with credentials of the worker',
    ],
    ['https://host/a@b', undefined],
    ['s3://bucket/a\nb', 'without control characters'],
    ['s3://bucket/a\u007fb', 'without control characters'],
    ['s3://bucket/a\u0000b', 'without control characters'],
  ] as const)
    test(`${JSON.stringify(uri.slice(0, 30))} ${problem === undefined ? 'may be given' : 'is refused'}`, () =>
      assert.equal(datasetUriProblem(uri), problem));

  test('counts 100,000 objects at most', () => assert.equal(PINNED_OBJECTS, 100_000));
});

describe('what lineage keeps of an attempt', () => {
  const ref: ArtifactRef = {
    kind: 'Model',
    uri: 'file:///m',
    digest: 'd',
    sizeBytes: 3,
    form: 'file',
    values: { x: 1 },
  };
  const pinned = {
    ...ref,
    kind: 'Dataset' as const,
    pin: { source: 's3://b/k' } as NonNullable<ArtifactRef['pin']>,
  };
  const request: AttemptRequest = {
    ...{
      executionId: 'e',
      project: 'p',
      pipeline: 'q',
      step: 'train',
      callId: 'c',
      build: 'b',
      codeDigest: 'cd',
    },
    ...{ attempt: 2, parameters: { depth: 3, rate: 1 }, inputs: { data: pinned } },
    ...{
      index: 0,
      pool: 'cpu',
      code: [],
      env: {},
      command: ['true'],
      outputs: {},
      resources: {},
      stopGraceMs: 1,
    },
  };
  const outcome = {
    ...{ kind: 'succeeded', attemptName: 'train-a2', parameters: { rate: 2 }, startedAtMs: 5, endedAtMs: 9 },
    outputs: { model: ref },
  } as AttemptSucceeded;
  const plain = {
    version: 1 as const,
    ...{ runId: 'r', executionId: 'e', project: 'p', pipeline: 'q', step: 'train', callId: 'c' },
    ...{
      build: 'b',
      codeDigest: 'cd',
      attemptName: 'train-a2',
      attempt: 2,
      parameters: { depth: 3, rate: 2 },
    },
    inputs: { data: { kind: 'Dataset', uri: 'file:///m', digest: 'd', sizeBytes: 3, source: 's3://b/k' } },
    outputs: { model: { kind: 'Model', uri: 'file:///m', digest: 'd', sizeBytes: 3 } },
    ...{ startedAtMs: 5, endedAtMs: 9 },
  };

  const origin = buildOrigin(request, 'r');

  test('is who made what of what, with the parameters that counted, and no more', () => {
    assert.deepEqual(buildLineageStep({ origin, executionId: 'e', outcome }), plain);
  });

  test('is also of which commit, image and lock, and where MLflow shows it, where those are known', () => {
    const tracking = { experimentId: '7', runId: 'm' };
    const code = { commit: 'abc' };
    assert.deepEqual(
      buildLineageStep({
        origin: buildOrigin({ ...request, image: 'i' }, 'r'),
        executionId: 'e',
        outcome,
        code: { origin: code, pythonDigest: 'lock' },
        tracking,
      }),
      { ...plain, code, image: 'i', pythonDigest: 'lock', tracking },
    );
    assert.deepEqual(buildLineageStep({ origin, executionId: 'e', outcome, code: {} }), plain);
  });

  test('leaves parameters out that are long, those that were given or those with what the step added', () => {
    const of = (length: number, made: AttemptSucceeded['parameters']) => {
      const given = 'x'.repeat(length - JSON.stringify({ p: '', ...made }).length);
      const origins = buildOrigin({ ...request, parameters: { p: given } }, 'r');
      const built = buildLineageStep({
        origin: origins,
        executionId: 'e',
        outcome: { ...outcome, parameters: made },
      });
      return ['parameters' in origins, 'parameters' in built];
    };
    assert.deepEqual(of(KEPT_PARAMETERS, {}), [true, true]);
    assert.deepEqual(of(KEPT_PARAMETERS, { rate: 2 }), [true, true]);
    assert.deepEqual(of(KEPT_PARAMETERS + 1, { rate: 2 }), [true, false]);
    assert.deepEqual(of(KEPT_PARAMETERS + 1, {}), [false, false]);
    assert.equal(KEPT_PARAMETERS, 4_000);
  });

  test('is led to from its run, from what it made and used, and from where data of others was and is', () => {
    const data = {
      kind: 'Dataset',
      uri: 's3://b/k?v=1',
      digest: 'd1',
      sizeBytes: 1,
      source: 's3://b/k',
    } as const;
    const step = { ...plain, inputs: { data, again: data }, outputs: { model: { ...data, digest: 'm1' } } };
    const { runId, executionId, attemptName, pipeline } = step;
    const pointer = { runId, executionId, attemptName, pipeline, step: step.step };
    const of = (uri: string) => [`lineage/sources/${sha(uri)}/d1.json`, { uri, digest: 'd1' }];
    assert.deepEqual(buildPointers(step), [
      [`lineage/artifacts/m1/made/${executionId}.${attemptName}.json`, pointer],
      [`lineage/artifacts/d1/used/${executionId}.${attemptName}.json`, pointer],
      of('s3://b/k'),
      of('s3://b/k?v=1'),
    ]);
    const run = { runId: 'a/1', executionId: 'e1', pipeline: 'p' };
    assert.deepEqual(buildRunPointer(run), ['lineage/runs/a%2F1/e1.json', run]);
    const reuse = {
      version: 1,
      ...run,
      attemptName: 'x-a1',
      reused: { runId: 'r0', executionId: 'e0' },
    } as const;
    assert.deepEqual(buildReusePointer(reuse), ['lineage/reused/e0/x-a1/e1.json', run]);
  });

  test('finds the maker of an output by its address, and of nothing else', () => {
    const key = storeKeys.output('e', 'train-a2', 'model');
    assert.deepEqual(producerOf(`s3://b/p/${key}`), {
      executionId: 'e',
      attemptName: 'train-a2',
      output: 'model',
    });
    for (const uri of [
      `s3://b/${key}/MLmodel`,
      's3://b/runs/e/attempts/a',
      key,
      's3://b/k',
      `s3://b/x${key}`,
    ])
      assert.equal(producerOf(uri), undefined, uri);
  });
});
