import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { awaitCache } from '../../src/activities/await-cache.js';
import { createStepCache, type StepCache } from '../../src/activities/step-cache.js';
import { storeKeys, type ArtifactStore } from '../../src/core/artifact-store.js';
import { cacheKey, type CacheMaterial } from '../../src/core/cache.js';
import type { CacheAnswer, CacheQuery } from '../../src/core/claims.js';
import { buildSucceeded } from '../tracking/fixtures.js';
import { createMemoryStore } from './memory-store.js';

const material: CacheMaterial = {
  step: 'train',
  code: 'c0de',
  env: {},
  outputs: {},
  command: ['train'],
  parameters: {},
  inputs: {},
};
const KEY = cacheKey(material);

/** What befalls a run at its n-th operation. `run`: it is terminated; `worker`: its worker dies; `stopped`: its worker goes on later. */
interface Fate {
  readonly atOperation: number;
  readonly what: 'none' | 'run' | 'worker' | 'stopped';
  readonly when: 'before' | 'after';
  /** Attempts that fail before one succeeds. */
  readonly failures: number;
}

const fate: fc.Arbitrary<Fate> = fc.record({
  atOperation: fc.integer({ min: 0, max: 14 }),
  what: fc.constantFrom('none', 'run', 'worker', 'stopped'),
  when: fc.constantFrom('before', 'after'),
  failures: fc.integer({ min: 0, max: 2 }),
});

test('whatever is killed when, one call at a time works, none waits for ever, and a result is used by all that come after it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fate, { minLength: 2, maxLength: 5 }),
      async (scheduler, fates) => {
        const world = createWorld(scheduler, fates);
        const ends = fates.map((_, run) => world.run(run));
        await scheduler.waitFor(Promise.all(ends.map((end, run) => Promise.race([end, world.killed(run)]))));
        assert.deepEqual(world.violations, []);
        // Whoever comes later is held up by nothing that is left.
        const hasResult = world.hasResult();
        const late = world.lateRun();
        await scheduler.waitFor(late);
        assert.deepEqual(world.violations, []);
        assert.equal(await late, hasResult ? 'hit' : 'made');
        await scheduler.waitIdle();
      },
    ),
    { numRuns: 400, endOnFailure: true },
  );
});

function createDeath() {
  let resolve: (word: 'killed') => void = () => undefined;
  const promise = new Promise<'killed'>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

class WorkerLost extends Error {}

const ATTEMPTS = 3;

function createWorld(scheduler: fc.Scheduler, fates: readonly Fate[]) {
  const store = createMemoryStore();
  const violations: string[] = [];
  const working = new Set<number>();
  const attempts = new Map<number, number>();
  const deaths = fates.map(() => createDeath());
  const dead = new Set<number>();
  const ended = new Set<number>();

  const hasResult = () => [...store.objects.keys()].some((key) => key.endsWith('/entry.json'));

  const isLive = async ({ runId, attempt }: { readonly runId: string; readonly attempt: number }) => {
    await scheduler.schedule(Promise.resolve(), `is ${runId} live`);
    const run = Number(runId);
    return !dead.has(run) && !ended.has(run) && attempts.get(run) === attempt;
  };

  /** The cache as one run sees it: each operation of the store takes its turn, and may be the run's, or its worker's, last. */
  function cacheOf(run: number, strike: (work: () => Promise<unknown>) => Promise<unknown>): StepCache {
    const turn =
      <A extends unknown[], T>(name: string, operation: (...args: A) => Promise<T>) =>
      async (...args: A): Promise<T> => {
        await scheduler.schedule(Promise.resolve(), `${run} ${name}`);
        return (await strike(() => operation(...args))) as T;
      };
    const seen: ArtifactStore = {
      ...store,
      putBytes: async (key, bytes, options) => {
        const written = await turn('writes', store.putBytes)(key, bytes, options);
        if (key.endsWith('/claim.json') && written === 'stored' && hasResult())
          violations.push(`${run} claims ${key} though there is a result`);
        return written;
      },
      readBytes: turn('reads', store.readBytes),
      removeAll: turn('removes', store.removeAll),
      remove: turn('removes', store.remove),
      list: async function* (prefix) {
        const listed = turn('lists', async () => await Promise.resolve([...store.objects.keys()].sort()));
        for (const key of await listed())
          if (key.startsWith(prefix)) yield { key, uri: '', sizeBytes: 0, modifiedAtMs: 0 };
      },
    };
    return createStepCache({ store: seen, clock: { nowMs: () => 0 }, isLive });
  }

  /** Lets a fate befall a run once. */
  function createStrike(run: number) {
    const { atOperation, what, when } = fates[run] ?? { atOperation: 0, what: 'none', when: 'before' };
    let operation = 0;
    return async (work: () => Promise<unknown>): Promise<unknown> => {
      if (dead.has(run)) return await new Promise(() => undefined);
      if (operation++ !== atOperation || what === 'none') return await work();
      if (what === 'stopped') {
        // The worker was given up, but what it was doing is done later all the same.
        void scheduler.schedule(Promise.resolve(), `${run} wakes up`).then(work);
        throw new WorkerLost();
      }
      if (when === 'after') await work();
      if (what === 'worker') throw new WorkerLost();
      dead.add(run);
      working.delete(run);
      deaths[run]?.resolve('killed');
      return await new Promise(() => undefined);
    };
  }

  async function retried<T>(work: () => Promise<T>): Promise<T> {
    for (;;)
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof WorkerLost)) throw error;
      }
  }

  async function live(run: number, failures: number): Promise<'hit' | 'made' | 'failed'> {
    const strike = createStrike(run);
    const cache = cacheOf(run, strike);
    const asker = { runId: String(run), epoch: `${run}-1` };
    const clock = {
      nowMs: () => 0,
      sleep: async () => void (await scheduler.schedule(Promise.resolve(), `${run} sleeps`)),
    };
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      attempts.set(run, attempt);
      const query: CacheQuery = { key: KEY, material, pipeline: 'p', callId: `c${run}`, attempt };
      let answer: CacheAnswer = await retried(() => cache.ask(query, asker));
      while (answer.kind === 'busy') {
        const { runId } = answer;
        answer = await retried(() =>
          awaitCache({ cache, clock }, { query, asker, untilMs: 1, runId }, new AbortController().signal),
        );
      }
      if (answer.kind === 'hit') return 'hit';
      const slot = { step: 'train', key: KEY, generation: answer.generation };
      if (working.size > 0) violations.push(`${run} works beside ${[...working].join()}`);
      if (store.objects.has(`${storeKeys.cacheGeneration(slot)}entry.json`))
        violations.push(`${run} works under ${slot.generation}, which has a result`);
      working.add(run);
      await retried(async () => {
        await scheduler.schedule(Promise.resolve(), `${run} works`);
        await strike(() => Promise.resolve());
      });
      working.delete(run);
      if (attempt <= failures) {
        await retried(() => cache.close(slot, 'failed'));
        continue;
      }
      const outcome = { ...buildSucceeded({}), outputs: {} };
      await retried(() =>
        cache.store(slot, { outcome, runId: String(run), executionId: `e${run}`, pipeline: 'p' }),
      );
      return 'made';
    }
    return 'failed';
  }

  const run = async (number: number, failures = fates[number]?.failures ?? 0) =>
    await live(number, failures).finally(() => ended.add(number));
  return {
    violations,
    run,
    lateRun: async () => await run(fates.length, 0),
    killed: async (number: number) => await deaths[number]?.promise,
    hasResult,
  };
}
