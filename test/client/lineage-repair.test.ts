import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createLineageWriter, recordReuse } from '../../src/activities/lineage.js';
import { repairIndex } from '../../src/client/lineage-repair.js';
import type { ArtifactRef, Manifest } from '../../src/core/artifacts.js';
import { digestOfText } from '../../src/core/digest.js';
import { buildOrigin } from '../../src/core/lineage.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { report } from '../cli/fake-cli.js';
import { buildRequest } from '../tracking/fixtures.js';

const readCode = () => Promise.resolve({ origin: { commit: 'c'.repeat(40) }, pythonDigest: 'p1' });
const clock = { nowMs: () => 120_000 };
const MANIFEST = 'runs/exec-r1/attempts/ingest-a1/manifest.json';
const REUSE = 'lineage/steps/exec-r2/ingest-a1.json';

function ref(name: string, uri: string): ArtifactRef {
  return { kind: 'Dataset', uri, digest: digestOfText(name), sizeBytes: 7, form: 'file', values: {} };
}

/** What a run leaves, and another one that took a result of it: manifests, which are flushed, and the index, which is not. */
async function createStore() {
  const store = createMemoryStore();
  const writer = createLineageWriter({ store, readCode });
  const make = async (step: string, input: ArtifactRef): Promise<ArtifactRef> => {
    const attemptName = `${step}-a1`;
    const request = buildRequest({ step, executionId: 'exec-r1', inputs: { data: input } });
    const out = ref(step, store.uriOf(`runs/exec-r1/attempts/${attemptName}/outputs/out`));
    const ended = { parameters: { rows: 3 }, startedAtMs: 1, endedAtMs: 2 };
    await writer.recordStep({
      request,
      runId: 'r1',
      outcome: { kind: 'succeeded', attemptName, outputs: { out }, ...ended },
    });
    await writer.settle();
    const manifest: Manifest = {
      version: 1,
      attempt: attemptName,
      outputs: { out: { ...out, files: [] } },
      origin: buildOrigin(request, 'r1'),
      ...ended,
    };
    await store.putBytes(`runs/exec-r1/attempts/${attemptName}/manifest.json`, toBytes(manifest));
    return out;
  };
  const source = 's3://data/customers.csv';
  const external = { ...ref('customers', source), pin: { pinnedAtMs: 1, source } };
  await make('train', await make('ingest', Object.assign(external)));
  const cachedFrom = { runId: 'r1', executionId: 'exec-r1' };
  const call = { id: 'c', kind: 'step', name: 'ingest', attempt: 1, startedAtMs: 1 } as const;
  const calls = [{ ...call, state: 'cached', attemptName: 'ingest-a1', cachedFrom }] as const;
  await recordReuse(store, report({ runId: 'r2', executionId: 'exec-r2', calls }));
  return store;
}

type Store = Awaited<ReturnType<typeof createStore>>;

function toBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function indexOf(store: Store): { readonly [key: string]: unknown } {
  const entries = [...store.objects].filter(([key]) => key.startsWith('lineage/'));
  return Object.fromEntries(
    entries.sort().map(([key, bytes]) => [key, JSON.parse(Buffer.from(bytes).toString()) as unknown]),
  );
}

describe('lineage after a power failure', () => {
  for (const half of [0, 1])
    test(`is made again from manifests, whichever records and pointers are missing or torn (${half})`, async () => {
      const store = await createStore();
      const whole = indexOf(store);
      // That of a reuse is flushed, as no manifest says it.
      const lost = Object.keys(whole).filter((key) => key !== REUSE);
      for (const [at, key] of lost.entries())
        if (at % 2 === half) store.objects.delete(key);
        else store.objects.set(key, new Uint8Array());
      const found = await repairIndex({ store, readCode, clock });
      assert.deepEqual(found, { records: 3, restored: 2, pointers: lost.length - 2, unknown: 0 });
      assert.deepEqual(indexOf(store), whole);
      const again = await repairIndex({ store, readCode, clock });
      assert.deepEqual(again, { records: 3, restored: 0, pointers: 0, unknown: 0 });
    });

  test('is left to the workers of attempts that have just ended', async () => {
    const store = await createStore();
    for (const key of Object.keys(indexOf(store))) store.objects.delete(key);
    const { restored } = await repairIndex({ store, clock: { nowMs: () => 59_999 } });
    assert.equal(restored, 0);
  });

  test('is not known of attempts whose manifests do not say what they were made of', async () => {
    const store = await createStore();
    for (const key of Object.keys(indexOf(store))) store.objects.delete(key);
    const manifest = JSON.parse(Buffer.from(store.objects.get(MANIFEST) ?? []).toString()) as Manifest;
    const { origin: _origin, ...old } = manifest;
    await store.putBytes(MANIFEST, toBytes(old));
    const { restored, unknown } = await repairIndex({ store, clock });
    assert.deepEqual([restored, unknown], [1, 1]);
  });
});
