import type { ProjectFiles } from './new-project.js';

/** A pipeline with one Python step that needs nothing but Python: it fits a line to noisy points, and a gate judges it. */
export const starterFiles: ProjectFiles = {
  'pipelines/index.ts': `import { definePipeline, defineStep, integer, metrics, model, number } from 'anneal';

export const train = defineStep({
  name: 'train',
  code: 'steps/train.py',
  inputs: { epochs: integer({ min: 1, default: 200 }), rate: number({ min: 0, default: 0.1 }) },
  outputs: { model: model(), metrics: metrics({ loss: 'number' }) },
  command: ({ inputs, outputs }) => [
    'python3', 'train.py',
    '--epochs', inputs.epochs,
    '--rate', inputs.rate,
    '--model', outputs.model.path,
    '--metrics', outputs.metrics.path,
  ],
  cache: {},
  retry: { attempts: 2, delay: '10s' },
});

export const training = definePipeline(
  {
    name: 'training',
    params: { epochs: integer({ min: 1, default: 200 }), limit: number({ default: 0.1, description: 'loss that a model may have' }) },
  },
  async ({ epochs, limit }) => {
    const { metrics: { values } } = await train({ epochs });
    if (values.loss > limit) return { promoted: false, reason: \`loss \${values.loss.toFixed(3)} > \${limit}\` };
    return { promoted: true, loss: values.loss };
  },
);
`,
  'test/training.test.ts': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeStep, runPipeline } from 'anneal/testing';
import { train, training } from '../pipelines/index.js';

test('a model whose loss is below the limit is promoted', async () => {
  const run = await runPipeline(training, { fakes: [fakeStep(train, { metrics: { loss: 0.02 } })] });
  assert.deepEqual(run.result, { promoted: true, loss: 0.02 });
});

test('a model whose loss is above the limit is not', async () => {
  const run = await runPipeline(training, {
    parameters: { limit: 0.01 },
    fakes: [fakeStep(train, { metrics: { loss: 0.02 } })],
  });
  assert.deepEqual(run.result, { promoted: false, reason: 'loss 0.020 > 0.01' });
});
`,
  'steps/train.py': `"""Fits y = 3 x + 2 by gradient descent. An ordinary script: it knows paths, not Anneal."""
import argparse
import json
import os
import random
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=200)
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--metrics", type=Path, required=True)
args = parser.parse_args()

rng = random.Random(1)
points = [(x / 50, 3 * x / 50 + 2 + rng.gauss(0, 0.1)) for x in range(100)]
slope, intercept, loss = 0.0, 0.0, 0.0
stream = os.environ.get("ANNEAL_METRICS_STREAM")
for epoch in range(1, args.epochs + 1):
    errors = [slope * x + intercept - y for x, y in points]
    loss = sum(e * e for e in errors) / len(points)
    slope -= args.rate * 2 * sum(e * x for e, (x, _) in zip(errors, points)) / len(points)
    intercept -= args.rate * 2 * sum(errors) / len(points)
    if epoch % 20 == 0:
        print(f"epoch {epoch}: loss {loss:.4f}", flush=True)
        if stream:
            with open(stream, "a") as file:
                file.write(json.dumps({"step": epoch, "metrics": {"loss": loss}}) + "\\n")

args.model.mkdir(parents=True, exist_ok=True)
(args.model / "line.json").write_text(json.dumps({"slope": slope, "intercept": intercept}))
args.metrics.write_text(json.dumps({"loss": loss}))
`,
};
