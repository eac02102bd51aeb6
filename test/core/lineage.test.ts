import assert from 'node:assert/strict';
import { test } from 'node:test';

import { producerOf } from '../../src/core/lineage.js';

test('an output names the attempt that made it, of a process and of a pod', () => {
  const attempt = 's3://bucket/churn/runs/exec/attempts/train-abc-a1';
  const expected = { executionId: 'exec', attemptName: 'train-abc-a1', output: 'model' };
  assert.deepEqual(producerOf(`${attempt}/outputs/model`), expected);
  assert.deepEqual(producerOf(`${attempt}/pods/0d1f-22/outputs/model`), expected);
});

test('what is no output of an attempt names none', () => {
  const attempt = 'file:///store/runs/exec/attempts/train-abc-a1';
  for (const rest of ['/outputs/model/MLmodel', '/pods/a/b/outputs/model', '/manifest.json', ''])
    assert.equal(producerOf(attempt + rest), undefined, rest);
});
