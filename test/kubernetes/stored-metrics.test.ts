import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createStoredMetrics } from '../../src/adapters/kubernetes/stored-metrics.js';
import { chunkKey } from '../../src/core/artifact-store.js';
import { AnnealError } from '../../src/core/failures.js';
import { createMemoryStore } from '../activities/memory-store.js';

const pod = { executionId: 'e', attemptName: 'train-a1', podUid: 'p' };

/** A stream of so many pieces, one point in each; it can be made to fail at one of them, or to take its time. */
async function streamOf(pieces: number) {
  const store = createMemoryStore();
  for (let n = 0; n < pieces; n++) {
    const line = `${JSON.stringify({ step: n, metrics: { loss: n } })}\n`;
    await store.putBytes(chunkKey(pod, 'metrics', n), Buffer.from(line));
  }
  const state = { awayAt: Infinity, reads: 0, perReadMs: 0 };
  const readBytes = async (key: string) => {
    if (key === chunkKey(pod, 'metrics', state.awayAt)) throw new AnnealError('StoreUnavailable', 'away');
    state.reads++;
    const until = performance.now() + state.perReadMs;
    while (performance.now() < until) await Promise.resolve();
    return await store.readBytes(key);
  };
  return { state, metrics: createStoredMetrics({ ...store, readBytes }, pod, 0) };
}

describe('the stream of metrics that a pod has stored', () => {
  test('gives each point once where the store is away between two of its pieces', async () => {
    const { state, metrics } = await streamOf(5);
    state.awayAt = 3;
    assert.deepEqual(steps(await metrics.next()), [0, 1, 2]);
    assert.deepEqual(await metrics.next(), []);
    state.awayAt = Infinity;
    assert.deepEqual(steps(await metrics.next()), [3, 4]);
  });

  test('is read in turns where it is long', async () => {
    const { state, metrics } = await streamOf(200);
    state.perReadMs = 1;
    const found: number[] = [];
    let turns = 0;
    do {
      found.push(...steps(await metrics.next(20)));
      turns++;
    } while (metrics.isBehind);
    assert.deepEqual(
      found,
      Array.from({ length: 200 }, (_, n) => n),
    );
    assert.ok(turns > 5, String(turns));
    assert.equal(state.reads, 201);
  });
});

function steps(points: readonly { readonly step: number }[]): number[] {
  return points.map(({ step }) => step);
}
