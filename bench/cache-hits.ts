import { createFileStore } from '../dist/adapters/file-store/create-file-store.js';
import type { CacheEntry } from '../dist/core/claims.js';
import { pipelinesTaskQueue } from '../dist/core/run.js';
import { interleave, startRun, type Sample } from './sample.js';
import type { BenchStack } from './stack.js';

const STEPS = 100;

/** What a run costs whose steps are all answered from the cache. */
export interface CacheHits {
  /** Milliseconds of the whole run. */
  readonly run: Sample;
  readonly events: number;
}

/** Times runs of 100 steps in sequence that all hit; each result has a file, which is looked for. */
export async function measureCacheHits(stack: BenchStack, rounds: number): Promise<CacheHits> {
  const { client, config } = stack;
  const of = { taskQueue: pipelinesTaskQueue(config.project), args: [{ steps: STEPS }] };
  const run = async () => {
    const handle = await startRun(client, 'kept-chain', of);
    await handle.result();
    return handle;
  };
  await run();
  await giveFiles(config.store.root ?? '');
  const handle = await run();
  const status = await handle.query<{ readonly counts: { readonly cached?: number } }>('status');
  if (status.counts.cached !== STEPS) throw new Error(`${status.counts.cached ?? 0} of ${STEPS} steps hit`);
  const times = await interleave([{ name: 'hits', steps: 1, run: async () => void (await run()) }], rounds);
  return {
    run: times.get('hits') ?? { min: NaN, median: NaN, values: [] },
    events: (await handle.describe()).historyLength ?? NaN,
  };
}

/** No-op steps make no files; results in the cache get one each, so that a hit has something to look for. */
async function giveFiles(root: string): Promise<void> {
  const store = createFileStore({ root });
  const found: string[] = [];
  for await (const { key } of store.list('cache/kept/')) if (key.endsWith('/entry.json')) found.push(key);
  for (const key of found) {
    const bytes = await store.readBytes(key);
    if (bytes === undefined) continue;
    const entry = JSON.parse(new TextDecoder().decode(bytes)) as CacheEntry;
    const file = `runs/${entry.executionId}/attempts/${entry.attemptName}/outputs/data`;
    await store.putBytes(file, new TextEncoder().encode('x'));
    const data = {
      kind: 'Dataset',
      uri: store.uriOf(file),
      digest: '',
      sizeBytes: 1,
      form: 'file',
      values: {},
    };
    await store.putBytes(key, new TextEncoder().encode(JSON.stringify({ ...entry, outputs: { data } })));
  }
}
