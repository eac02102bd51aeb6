import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createMetricsTail } from '../../src/adapters/attempt-files/metrics-tail.js';

test('a metrics stream is read to its end over a long stretch without a point', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-metrics-'));
  t.after(async () => await rm(directory, { recursive: true }));
  const file = path.join(directory, 'metrics.jsonl');
  const point = (step: number) =>
    `${JSON.stringify({ step, metrics: { loss: step / 10 }, timestamp: step })}\n`;
  await writeFile(file, `${point(1)}${`${'no point '.repeat(100)}\n`.repeat(3_000)}${point(2)}`);
  const read = createMetricsTail(file, 0);
  const drain = async () => {
    const steps: number[] = [];
    for (let points = await read(); points.length > 0; points = await read())
      steps.push(...points.map(({ step }) => step));
    return steps;
  };
  assert.deepEqual(await drain(), [1, 2]);
  await appendFile(file, point(3).trimEnd());
  assert.deepEqual(await drain(), [], 'a line without its end waits');
  await appendFile(file, `\n${point(4)}`);
  assert.deepEqual(await drain(), [3, 4]);
});
