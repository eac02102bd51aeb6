import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { digestOfText } from '../../src/core/digest.js';
import type { Json } from '../../src/core/json.js';
import { kfpCustomFingerprint, kfpFingerprint, type KfpCacheKey } from '../../src/core/kfp-fingerprint.js';

const schema = (title: string, ...properties: readonly string[]) =>
  `title: ${title}\ntype: object\nproperties:\n${properties.map((name) => `  ${name}:\n    type: string\n`).join('')}`;

/** The keys whose fingerprints the tests of kubeflow/pipelines spell out (backend/src/v2/cacheutils/cache_test.go, Apache-2.0). */
const KEY: KfpCacheKey = {
  inputArtifactNames: { dataset_one: ['1'], dataset_two: ['2'] },
  inputParameterValues: { message: 'Some string value', num_steps: 5 },
  outputArtifactsSpec: {
    model: {
      name: 'model',
      type: { instanceSchema: schema('kfp.Model', 'framework', 'framework_version') },
      metadata: { name: 'model' },
    },
    metrics: { name: 'metrics', type: { schemaTitle: 'kfp.Metrics' }, metadata: { name: 'metrics' } },
  },
  outputParametersSpec: { output_parameter_one: 'STRING', output_parameter_two: 'INT' },
  container: { image: 'python:3.9', cmdArgs: ['sh', 'ec', 'test'] },
};
const SMALL: KfpCacheKey = {
  inputArtifactNames: { dataset: ['10'] },
  inputParameterValues: {},
  outputArtifactsSpec: {},
  outputParametersSpec: { output_parameter: 'DOUBLE' },
  container: { image: 'python:3.9', cmdArgs: ['sh', 'ec', 'run'] },
};
const EMPTY: KfpCacheKey = {
  inputArtifactNames: {},
  inputParameterValues: {},
  outputArtifactsSpec: {},
  outputParametersSpec: {},
  container: { image: '', cmdArgs: [] },
};

const withParameter = (value: Json, name = 'p'): KfpCacheKey => ({
  ...EMPTY,
  inputParameterValues: { [name]: value },
});

describe("the fingerprint of a task in KFP's cache", () => {
  test('is that of the server, for the keys whose fingerprints its own tests spell out', () => {
    assert.equal(kfpFingerprint(KEY), '4e8a5d7d70997b0a35429fcd481af8fcd5b9f58ef4391bdb6ad900fd1c63622b');
    assert.equal(kfpFingerprint(SMALL), '0a4cc1f15cdfad5170e1358518f7128c5278500a670db1b9a3f3d83b93db396e');
  });

  // The text that Go hashes, by the rules of protojson (what is unset or empty is left out) and of encoding/json.
  for (const [what, key, text] of [
    ['nothing', EMPTY, '{"containerSpec":{}}'],
    [
      'an input without artifacts',
      { ...EMPTY, inputArtifactNames: { in: [] } },
      '{"containerSpec":{},"inputArtifactNames":{"in":{}}}',
    ],
    [
      'an output of which nothing is known',
      { ...EMPTY, outputArtifactsSpec: { out: {} } },
      '{"containerSpec":{},"outputArtifactsSpec":{"out":{}}}',
    ],
    [
      'an output whose parts are empty',
      {
        ...EMPTY,
        outputArtifactsSpec: {
          out: { name: '', type: { schemaTitle: '', schemaVersion: '' }, metadata: {} },
        },
      },
      '{"containerSpec":{},"outputArtifactsSpec":{"out":{"metadata":{},"type":{"schemaTitle":""}}}}',
    ],
    [
      'a version of a schema',
      { ...EMPTY, outputArtifactsSpec: { out: { type: { schemaUri: 'u', schemaVersion: '1' } } } },
      '{"containerSpec":{},"outputArtifactsSpec":{"out":{"type":{"schemaUri":"u","schemaVersion":"1"}}}}',
    ],
    [
      'volumes, each once and in order, and variables',
      {
        ...EMPTY,
        container: {
          image: 'i',
          cmdArgs: [],
          pvcNames: ['b', 'a', 'b'],
          env: [
            { name: 'Z', value: '' },
            { name: 'A', value: '1' },
          ],
        },
      },
      '{"containerSpec":{"env":[{"name":"Z"},{"name":"A","value":"1"}],"image":"i","pvcNames":["a","b"]}}',
    ],
    [
      'null, booleans and lists',
      withParameter([null, true, false, [], {}]),
      '{"containerSpec":{},"inputParameterValues":{"p":[null,true,false,[],{}]}}',
    ],
    [
      'numbers',
      withParameter([5, -0, 0.1, 1e21, 1e-7, 123456789012345680000]),
      '{"containerSpec":{},"inputParameterValues":{"p":[5,-0,0.1,1e+21,1e-7,123456789012345680000]}}',
    ],
    [
      'what HTML and JavaScript would read',
      withParameter('<a href="x">&\u2028\u2029</a>\n\t\u0001\u007f', 'a<b'),
      '{"containerSpec":{},"inputParameterValues":{"a\\u003cb":"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\\u003c/a\\u003e\\n\\t\\u0001\u007f"}}',
    ],
    [
      'halves of a character',
      withParameter(['\ud800', 'a\udc00b', '\ud83d\ude00']),
      '{"containerSpec":{},"inputParameterValues":{"p":["\ufffd","a\ufffdb","\ud83d\ude00"]}}',
    ],
    [
      'names in the order of their bytes',
      withParameter({ '\ud83d\ude00': 1, '\uff5e': 2, ab: 3, a: 4, B: 5, '': 6 }),
      '{"containerSpec":{},"inputParameterValues":{"p":{"":6,"B":5,"a":4,"ab":3,"\uff5e":2,"\ud83d\ude00":1}}}',
    ],
  ] as const)
    test(`is of the text that Go writes of ${what}`, () =>
      assert.equal(kfpFingerprint(key), digestOfText(text)));

  test('is one for two keys exactly if they are the same', () => {
    const text = fc.constantFrom('', 'a', 'b', '<');
    const key: fc.Arbitrary<KfpCacheKey> = fc.record({
      inputArtifactNames: fc.dictionary(
        fc.constantFrom('x', 'y'),
        fc.array(fc.constantFrom('1', '2'), { maxLength: 2 }),
      ),
      inputParameterValues: fc.dictionary(fc.constantFrom('p', 'q'), fc.oneof(text, fc.nat(2))),
      outputArtifactsSpec: fc.constant({}),
      outputParametersSpec: fc.dictionary(fc.constantFrom('o'), fc.constantFrom('STRING', 'LIST')),
      container: fc.record({ image: text, cmdArgs: fc.array(text, { maxLength: 3 }) }),
    });
    fc.assert(
      fc.property(key, key, (a, b) => {
        const same = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
        assert.equal(kfpFingerprint(a) === kfpFingerprint(b), same);
      }),
    );
  });

  test('is refused for what is no number', () => {
    assert.throws(() => kfpFingerprint(withParameter(NaN)), /NaN is no number that KFP takes/);
  });

  test('of a component with a key of its own is of that and its name', () => {
    assert.equal(kfpCustomFingerprint('train', 'v1'), digestOfText('train\0v1'));
    assert.notEqual(kfpCustomFingerprint('train', 'v1'), kfpCustomFingerprint('trainv', '1'));
  });
});

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => [name, sorted(member)]);
}
