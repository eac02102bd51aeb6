import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeStep, runPipeline, succeed } from 'anneal/testing';
import { churnSweep } from '../pipelines/churn-sweep.js';
import { evaluateModel, trainModel } from '../pipelines/steps.js';

test('the sweep trains side by side and promotes the best depth', async () => {
  const run = await runPipeline(churnSweep, {
    fakes: [
      fakeStep(trainModel, ({ inputs }) =>
        succeed({ model: `depth ${inputs.depth}` }, { takes: `${inputs.depth}0m` }),
      ),
      fakeStep(evaluateModel, ({ index }) => ({ metrics: { f1: [0.9, 0.96, 0.93][index] ?? 0 } })),
    ],
  });
  assert.deepEqual(run.result, { depth: 3, version: 1 });
  assert.equal(run.elapsedMs, 40 * 60_000);
  assert.deepEqual(run.promotions, [{ model: 'churn-predictor', alias: 'champion', version: 1 }]);
  assert.deepEqual(
    run.calls.filter(({ step }) => step === 'train-model').map(({ name }) => name),
    ['train-depth-2', 'train-depth-3', 'train-depth-4'],
  );
  assert.deepEqual(
    run.calls.filter(({ step }) => step === 'evaluate-model').map(({ name }) => name),
    ['evaluate-depth-2', 'evaluate-depth-3', 'evaluate-depth-4'],
  );
});
