import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundlePipelines } from '../replay/bundles.js';

test('runs share the workflow code, which is in the bundle once; what holds the runtime of a run is apart from it', async () => {
  const { code } = await bundlePipelines('./examples/churn/pipelines/churn-training.ts');
  const modules = code.split('\n/***/ ');
  const holding = (text: string) => modules.filter((module) => module.includes(text));
  const runtime = holding('was called outside a run');
  const player = holding('occurrences=new Map');
  assert.deepEqual([runtime.length, player.length], [1, 1]);
  assert.notEqual(runtime[0], player[0]);
  assert.equal(player[0]?.includes('Error.stackTraceLimit=5'), true);
});
