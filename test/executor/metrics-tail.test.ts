import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createMetricsParser, createMetricsTail } from '../../src/adapters/attempt-files/metrics-tail.js';

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

test('a line of more than a megabyte holds no points, and those of the lines after it are read', () => {
  const parse = createMetricsParser(0);
  const long = JSON.stringify({ metrics: { loss: 0 }, more: 'x'.repeat(3 << 20) });
  for (let at = 0; at < long.length; at += 1 << 19)
    assert.deepEqual(parse(Buffer.from(long.slice(at, at + (1 << 19)))), []);
  const points = parse(Buffer.from('\n{"metrics":{"loss":1}}\n'));
  assert.deepEqual(points, [{ name: 'loss', value: 1, step: 0, timestampMs: 1 }]);
});
