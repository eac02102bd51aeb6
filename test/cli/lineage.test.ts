import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AnnealClient, Lineage } from '../../src/client/index.js';
import { cli } from './fake-cli.js';

const FOUND: Lineage = {
  subjects: ['run:r1'],
  back: ['step:e1/train-a2'],
  forward: [],
  nodes: [
    { kind: 'run', id: 'run:r1', runId: 'r1', executionId: 'e1', pipeline: 'churn-training' },
    {
      kind: 'step',
      id: 'step:e1/train-a2',
      ...{ runId: 'r1', executionId: 'e1', project: 'p', pipeline: 'churn-training', step: 'train' },
      ...{ callId: 'c', attemptName: 'train-a2', attempt: 2, build: 'b', codeDigest: 'abcdef0123456789' },
      ...{ startedAtMs: 1, endedAtMs: 2 },
    },
    {
      kind: 'artifact',
      id: 'artifact:d1',
      digest: 'd1',
      artifactKind: 'Dataset',
      source: 's3://b/\u001b[31mk',
    },
  ],
  edges: [{ from: 'artifact:d1', to: 'step:e1/train-a2', as: 'used', name: 'data' }],
  more: [{ id: 'artifact:d1' }],
  notices: ['The record of attempt x is missing.'],
};

test('anneal lineage draws an indented tree, or gives nodes and edges as JSON', async () => {
  const asked: unknown[] = [];
  const lineage: AnnealClient['lineage'] = (...given) => {
    asked.push(given);
    return Promise.resolve(FOUND);
  };
  const options = ['--direction', 'back', '--limit', '50', '--after', 'x'];
  const { out, err, code } = await cli(['lineage', 'run:r1', ...options], { client: { lineage } });
  assert.equal(code, 0, err);
  assert.deepEqual(asked, [['run:r1', { direction: 'back', limit: 50, after: 'x' }]]);
  assert.equal(out.includes('\u001b[31m'), false);
  assert.match(
    out,
    /^run r1 of churn-training\n\nMade of\n {2}step train of run r1, attempt 2, code abcdef012345\n {4}data: Dataset d1, from s3:/,
  );
  assert.match(
    out,
    /More than is shown belongs to artifact:d1[^\n]*--limit\.\n\nNote: The record of attempt x is missing\.\n$/,
  );
  const json = await cli(['lineage', 'run:r1', '--json'], { client: { lineage } });
  assert.deepEqual(json.document(), FOUND);
});

for (const [option, value, message] of [
  ['--direction', 'sideways', /back, forward or both; it is "sideways"/],
  ['--limit', '0', /whole number from 1 to 5000; it is "0"/],
] as const)
  test(`anneal lineage refuses ${option} ${value}`, async () => {
    const { code, err } = await cli(['lineage', 'run:r1', option, value]);
    assert.notEqual(code, 0);
    assert.match(err, message);
  });

test('anneal lineage --repair says what was made again, and takes no subject', async () => {
  const repair = { records: 9, restored: 2, pointers: 5, unknown: 1 };
  const client = { repairLineage: () => Promise.resolve(repair) };
  const { out, code } = await cli(['lineage', '--repair'], { client });
  assert.equal(code, 0);
  assert.match(
    out,
    /^9 records, 2 of them made again from manifests; 5 pointers [^\n]*\n1 attempts have no record/,
  );
  assert.deepEqual((await cli(['lineage', '--repair', '--json'], { client })).document(), repair);
  for (const [args, found] of [
    [['lineage'], /Neither a subject nor --repair was given/],
    [['lineage', 'run:r1', '--repair'], /Both "run:r1" and --repair were given/],
  ] as const) {
    const refused = await cli([...args], { client });
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, found);
  }
});
