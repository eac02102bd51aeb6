import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definePipeline, pinDataset, string } from '../../src/pipeline/index.js';
import { runPipeline } from '../../src/testing/index.js';

const pinned = definePipeline({ name: 'pinned', params: { uri: string() } }, async ({ uri }) => {
  const data = await pinDataset('customers', { uri });
  return { kind: data.kind, digest: data.digest };
});

test('a pinned dataset in a test has a digest of its URI, or of the contents that the test gives', async () => {
  const digestOf = async (uri: string, datasets: { readonly [uri: string]: string } = {}) => {
    const { result } = await runPipeline(pinned, { parameters: { uri }, datasets });
    return (result as { readonly digest: string }).digest;
  };
  const uri = 's3://data/a.csv';
  assert.equal(await digestOf(uri), await digestOf(uri));
  assert.notEqual(await digestOf(uri), await digestOf('s3://data/b.csv'));
  assert.notEqual(await digestOf(uri, { [uri]: 'changed' }), await digestOf(uri));
  assert.equal(await digestOf(uri, { [uri]: 'same' }), await digestOf('file:///b', { 'file:///b': 'same' }));
});

test('a URI that is none fails the run in a test, too', async () => {
  const run = await runPipeline(pinned, { parameters: { uri: 'nowhere' } });
  assert.equal(run.failure?.code, 'InvalidInput');
  assert.match(run.failure.message, /The URI of dataset "customers" is "nowhere"/);
});
