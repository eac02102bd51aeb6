import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createStepCache } from '../../src/activities/step-cache.js';
import { planRetention } from '../../src/client/retention/plan-retention.js';
import type { RetentionDeps } from '../../src/client/retention/retention-deps.js';
import { sweep } from '../../src/client/retention/sweep.js';
import { storeKeys, type ArtifactStore } from '../../src/core/artifact-store.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { cacheKey, type CacheMaterial } from '../../src/core/cache.js';
import { buildLineageStep, buildOrigin } from '../../src/core/lineage.js';
import { readRetention } from '../../src/core/retention.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { buildRequest } from '../tracking/fixtures.js';

const DAY = 86_400_000;
const NOW = 1_000 * DAY;
const BYTES = 'churned';
const PAYLOAD = 'f'.repeat(63);

/** A run of the past: run `n` of the scenario is execution `exec-n`, with attempts `a0`, `a1`. */
interface PastRun {
  readonly pipeline: 'p' | 'q';
  readonly daysAgo: number;
  readonly state: 'live' | 'ended' | 'without record';
  readonly held: boolean;
  readonly registered: boolean;
  /** Its first attempt's result, by age: the entry alone, closed, or a claim that is open. */
  readonly cached: 'no' | 'entry' | 'closed' | 'claim';
  /** Indices of other runs: whose second attempt its history or record names, whose first it took from the cache, its sub-pipeline. */
  readonly names: number;
  readonly uses: number;
  readonly child: number;
}

const pastRun: fc.Arbitrary<PastRun> = fc.record({
  pipeline: fc.constantFrom('p', 'q'),
  daysAgo: fc.constantFrom(0.5, 10, 40, 95, 200),
  state: fc.constantFrom('live', 'ended', 'ended', 'ended', 'without record'),
  held: fc.constantFrom(false, false, false, true),
  registered: fc.constantFrom(false, false, false, true),
  cached: fc.constantFrom('no', 'entry', 'entry', 'closed', 'claim'),
  names: fc.integer({ min: -3, max: 7 }),
  uses: fc.integer({ min: -3, max: 7 }),
  child: fc.integer({ min: -6, max: 7 }),
});

/** What somebody does while `anneal gc` works. */
const looks = fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 4 });

test('whatever is used is never removed, whoever looks at the cache meanwhile; all else that is old goes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(pastRun, { minLength: 2, maxLength: 8 }),
      looks,
      async (scheduler, past, looked) => {
        const world = await createWorld(past);
        const scheduled = scheduleStore(world.store, scheduler);
        const cleaning = clean({ ...world.deps, store: scheduled });
        const hits = looked.map((of, n) => world.look(scheduleStore(world.store, scheduler), of, `now-${n}`));
        await scheduler.waitFor(Promise.all([cleaning, ...hits]));
        world.assertKept(new Set((await Promise.all(hits)).flat()));
        await clean(world.deps);
        world.assertKept(new Set((await Promise.all(hits)).flat()));
        world.assertGone(new Set(await Promise.all(hits).then((found) => found.flat())));
      },
    ),
    { numRuns: 60, endOnFailure: true, includeErrorInReport: true },
  );
});

test("a result that expires while somebody takes it is either theirs, whole, or nobody's", async () => {
  const plain = {
    held: false,
    registered: false,
    cached: 'no',
    names: -1,
    uses: -1,
    child: -1,
    state: 'ended',
  } as const;
  const past: PastRun[] = [
    { ...plain, pipeline: 'p', daysAgo: 10 },
    { ...plain, pipeline: 'p', daysAgo: 200, cached: 'entry' },
  ];
  const seen = { hits: 0, misses: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.nat(40), { minLength: 1, maxLength: 3 }),
      async (scheduler, lookers) => {
        const world = await createWorld(past);
        // It is looked for when the removal begins: what is before that is the first look.
        const plan = await planRetention(world.deps);
        const sweeping = sweep({ ...world.deps, store: scheduleStore(world.store, scheduler) }, plan);
        const looking = lookers.map(async (turns, n) => {
          // A removal takes more turns than a look: who looks may be late.
          for (let turn = 0; turn < turns; turn++) await scheduler.schedule(Promise.resolve());
          return await world.look(scheduleStore(world.store, scheduler), 1, `now-${n}`);
        });
        await scheduler.waitFor(Promise.all([sweeping, ...looking]));
        const hits = new Set((await Promise.all(looking)).flat());
        if (hits.size > 0) seen.hits++;
        else seen.misses++;
        world.assertWhole(hits);
      },
    ),
    { numRuns: 120, endOnFailure: true, includeErrorInReport: true },
  );
  assert.ok(seen.hits > 0 && seen.misses > 0, JSON.stringify(seen));
});

test('what lineage says of a run that goes is there, though a power failure had taken it', async () => {
  const gone = {
    pipeline: 'p',
    daysAgo: 200,
    state: 'ended',
    cached: 'no',
    registered: false,
    held: false,
  } as const;
  const unnamed = { names: -1, uses: -1, child: -1 };
  const world = await createWorld([
    { ...gone, ...unnamed, daysAgo: 10 },
    { ...gone, ...unnamed },
  ]);
  const out = { kind: 'Dataset', uri: 'x', digest: 'd', sizeBytes: 1, form: 'file', values: {} } as const;
  const outcome = { attemptName: 'a0', outputs: { out }, parameters: {}, startedAtMs: 1, endedAtMs: 2 };
  const origin = buildOrigin(buildRequest({ step: 'features' }), runOf(1));
  await world.store.putBytes(
    `${attemptOf(1, 0)}/manifest.json`,
    new TextEncoder().encode(JSON.stringify({ version: 1, attempt: 'a0', ...outcome, origin })),
  );
  world.store.times.set(`${attemptOf(1, 0)}/manifest.json`, NOW - 200 * DAY);
  await clean(world.deps);
  assert.equal(await world.store.stat(`${attemptOf(1, 0)}/manifest.json`), undefined);
  const record = await world.store.readBytes(storeKeys.lineageStep(executionOf(1), 'a0'));
  assert.deepEqual(
    JSON.parse(Buffer.from(record ?? []).toString()),
    JSON.parse(JSON.stringify(buildLineageStep({ origin, executionId: executionOf(1), outcome }))),
  );
});

test('who stops it anywhere leaves nothing half removed that counts, and the next one removes the rest', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(pastRun, { minLength: 2, maxLength: 8 }),
      fc.integer({ min: 0, max: 60 }),
      async (past, operations) => {
        const world = await createWorld(past);
        await clean({ ...world.deps, store: dyingStore(world.store, operations) }).catch(() => undefined);
        world.assertKept(new Set());
        // Its lock counts no more.
        await world.store.removeAll('gc/lock/');
        await clean(world.deps);
        world.assertKept(new Set());
        world.assertGone(new Set());
      },
    ),
    { numRuns: 100, endOnFailure: true, includeErrorInReport: true },
  );
});

async function clean(deps: RetentionDeps): Promise<void> {
  await sweep(deps, await planRetention(deps));
}

/** Every operation takes its turn. */
function scheduleStore(store: ArtifactStore, scheduler: fc.Scheduler): ArtifactStore {
  return onEach(store, async (name) => {
    await scheduler.schedule(Promise.resolve(), name);
  });
}

/** Nothing is done any more after so many writes and removals. */
function dyingStore(store: ArtifactStore, operations: number): ArtifactStore {
  let left = operations;
  return onEach(store, async (name) => {
    await Promise.resolve();
    if (['putBytes', 'remove', 'removeAll'].includes(name) && left-- <= 0) throw new Error('killed');
  });
}

function onEach(store: ArtifactStore, turn: (name: string) => Promise<void>): ArtifactStore {
  return {
    ...store,
    putBytes: async (...args) => (await turn('putBytes'), await store.putBytes(...args)),
    readBytes: async (key) => (await turn('readBytes'), await store.readBytes(key)),
    stat: async (key) => (await turn('stat'), await store.stat(key)),
    // One by one, as a directory or a bucket loses them.
    remove: async (keys) => {
      for (const key of keys) {
        await turn('remove');
        await store.remove([key]);
      }
    },
    removeAll: async (prefix) => (await turn('removeAll'), await store.removeAll(prefix)),
    list: async function* (prefix) {
      await turn('list');
      yield* store.list(prefix);
    },
  };
}

const executionOf = (n: number) => `exec-${n}`;
const runOf = (n: number) => `run-${n}`;
const attemptOf = (n: number, attempt: 0 | 1) => `runs/${executionOf(n)}/attempts/a${attempt}`;
const materialOf = (n: number): CacheMaterial => ({
  ...{ step: `step-${n}`, code: 'c0de', env: {}, outputs: {}, command: ['x'], parameters: {}, inputs: {} },
});

async function createWorld(past: readonly PastRun[]) {
  let atMs = NOW;
  const store = createMemoryStore(() => atMs);
  const put = async (daysAgo: number, key: string, value: unknown) => {
    atMs = NOW - daysAgo * DAY;
    await store.putBytes(
      key,
      new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)),
    );
    atMs = NOW;
  };
  const policy = readRetention({ keepLast: 1 });
  for (const [n, run] of past.entries()) await putRun(put, { n, run, past, uriOf: store.uriOf });
  for (const [index, daysAgo] of [0.5, 40, 40].entries()) {
    const day = new Date(NOW - daysAgo * DAY).toISOString().slice(0, 10);
    await put(daysAgo, storeKeys.payload(day, `${PAYLOAD}${index}`), 'large');
  }
  const isLive = (n: number) => past[n]?.state === 'live';
  const numbers = past.map((_, n) => n);
  const payloads = new Set([...store.objects.keys()].filter((key) => key.endsWith('1')));
  const deps: RetentionDeps = {
    ...{ project: 'shop', store, policy, clock: { nowMs: () => NOW }, holder: { host: 'here', process: 1 } },
    registered: async () =>
      await Promise.resolve(
        numbers
          .filter((n) => past[n]?.registered)
          .map((n) => ({ executionId: executionOf(n), runId: runOf(n), modelName: 'm' })),
      ),
    runs: {
      identity: () => Promise.resolve('server/namespace'),
      readOpen: () =>
        Promise.resolve({
          executionIds: new Set(numbers.filter(isLive).map(executionOf)),
          runIds: new Set(numbers.filter(isLive).map(runOf)),
          units: new Set(numbers.filter(isLive).flatMap((n) => named(past, n).map((of) => attemptOf(of, 1)))),
          mentioned: new Set<string>(),
        }),
      find: () => Promise.resolve(undefined),
      executionOf: () => Promise.resolve(undefined),
      isLive: ({ executionId }) => Promise.resolve(isLive(Number(executionId.slice(5)))),
      payloadReferences: () => Promise.resolve(payloads),
    },
  };
  const before = new Set(store.objects.keys());
  const oracle = createOracle(past);
  const exists = (unit: string) =>
    [...store.objects.keys()].filter((key) => key.startsWith(`${unit}/`)).length;
  const had = (unit: string) => [...before].filter((key) => key.startsWith(`${unit}/`)).length;
  return {
    store,
    deps,
    /** @returns the attempts that the call may now use. */
    look: async (seen: ArtifactStore, of: number, runId: string): Promise<string[]> => {
      const material = materialOf(of);
      const cache = createStepCache({
        store: seen,
        clock: { nowMs: () => NOW },
        isLive: () => Promise.resolve(true),
      });
      const query = { key: cacheKey(material), material, pipeline: 'p', callId: 'call', attempt: 1 };
      const answer = await cache.ask(query, { runId, epoch: 'epoch' });
      return answer.kind === 'hit' ? [`runs/${answer.executionId}/attempts/${answer.attemptName}`] : [];
    },
    assertWhole: (hits: ReadonlySet<string>) => {
      for (const unit of hits) assert.equal(exists(unit), had(unit), `${unit} must be whole`);
    },
    assertKept: (hits: ReadonlySet<string>) => {
      for (const unit of [...oracle.keptUnits, ...hits])
        assert.equal(exists(unit), had(unit), `${unit} must be whole`);
      for (const key of oracle.keptKeys)
        assert.ok(store.objects.has(key) || !before.has(key), `${key} must be there`);
      for (const key of payloads) assert.ok(store.objects.has(key), `${key} must be there`);
      // Whatever a result that counts names is there.
      for (const [n, run] of past.entries()) {
        const prefix = storeKeys.cacheGeneration({ ...keyOf(n), generation: 1 });
        if (run.cached === 'claim')
          assert.ok(store.objects.has(`${prefix}claim.json`), 'an open claim must stay');
        const entry = store.objects.has(`${prefix}entry.json`) && !store.objects.has(`${prefix}closed.json`);
        if (entry)
          assert.equal(exists(attemptOf(n, 0)), had(attemptOf(n, 0)), `the result of ${n} must be whole`);
      }
    },
    assertGone: (hits: ReadonlySet<string>) => {
      for (const n of numbers)
        for (const unit of [attemptOf(n, 0), attemptOf(n, 1), `runs/${executionOf(n)}/checkpoints`]) {
          const stays = oracle.keptUnits.has(unit) || hits.has(unit) || oracle.mayStay.has(unit);
          if (!stays) assert.equal(exists(unit), 0, `${unit} must be gone`);
        }
      assert.deepEqual(
        [...store.objects.keys()].filter((key) => key.endsWith('f2')),
        [],
      );
      assert.deepEqual(
        [...store.objects.keys()].filter((key) => key.startsWith('gc/') && key !== 'gc/owner.json'),
        [],
      );
    },
  };
}

function keyOf(n: number) {
  return { step: `step-${n}`, key: cacheKey(materialOf(n)) };
}

/** Indices that are those of other runs. */
function named(past: readonly PastRun[], n: number): number[] {
  const of = past[n]?.names ?? -1;
  return of >= 0 && of < past.length ? [of] : [];
}

async function putRun(
  put: (daysAgo: number, key: string, value: unknown) => Promise<void>,
  {
    n,
    run,
    past,
    uriOf,
  }: {
    readonly n: number;
    readonly run: PastRun;
    readonly past: readonly PastRun[];
    readonly uriOf: (key: string) => string;
  },
): Promise<void> {
  const { daysAgo } = run;
  const executionId = executionOf(n);
  for (const attempt of [0, 1] as const) {
    await put(daysAgo, `${attemptOf(n, attempt)}/outputs/data`, BYTES);
    await put(daysAgo, `${attemptOf(n, attempt)}/manifest.json`, {});
  }
  await put(daysAgo, `runs/${executionId}/checkpoints/c/a/000001-x/checkpoint.json`, {});
  if (run.state === 'ended') {
    const result = named(past, n).map((of) => uriOf(`${attemptOf(of, 1)}/outputs/data`));
    const calls = run.child >= 0 ? [{ kind: 'pipeline', detail: runOf(run.child) }] : [];
    const endedAtMs = NOW - daysAgo * DAY;
    const record = {
      runId: runOf(n),
      executionId,
      pipeline: run.pipeline,
      project: 'shop',
      endedAtMs,
      calls,
      result,
    };
    await put(daysAgo, storeKeys.run(executionId), record);
  }
  if (run.held)
    await put(daysAgo, storeKeys.hold('run', runOf(n)), {
      kind: 'run',
      name: runOf(n),
      executionIds: [executionId],
    });
  const prefix = storeKeys.cacheGeneration({ ...keyOf(n), generation: 1 });
  if (run.cached !== 'no') await put(daysAgo, `${prefix}claim.json`, { runId: runOf(n) });
  if (run.cached === 'entry' || run.cached === 'closed') {
    const uri = uriOf(`${attemptOf(n, 0)}/outputs/data`);
    const data: ArtifactRef = {
      kind: 'Dataset',
      uri,
      digest: 'd',
      sizeBytes: BYTES.length,
      form: 'file',
      values: {},
    };
    const entry = {
      ...keyOf(n),
      executionId,
      attemptName: 'a0',
      runId: runOf(n),
      outputs: { data },
      parameters: {},
    };
    await put(daysAgo, `${prefix}entry.json`, { ...entry, generation: 1, storedAtMs: 0, startedAtMs: 0 });
  }
  if (run.cached === 'closed') await put(daysAgo, `${prefix}closed.json`, {});
  if (run.uses >= 0 && run.uses < past.length) {
    const use = { executionId: executionOf(run.uses), attemptName: 'a0', runSegment: runOf(n), epoch: 'e' };
    await put(daysAgo, storeKeys.use(use), {});
  }
}

/** The rules once more, in the plainest words: 90 days, the newest of each pipeline, 30 days for results, 7 for checkpoints. */
function createOracle(past: readonly PastRun[]) {
  const numbers = past.map((_, n) => n);
  const run = (n: number): PastRun | undefined => past[n];
  const isNewest = (n: number) => {
    const others = numbers.filter((m) => run(m)?.state === 'ended' && run(m)?.pipeline === run(n)?.pipeline);
    const youngest = Math.min(...others.map((m) => run(m)?.daysAgo ?? 0));
    // Of equals any may be the one: those are not judged.
    const equals = others.filter((m) => run(m)?.daysAgo === youngest);
    return run(n)?.state === 'ended' && run(n)?.daysAgo === youngest
      ? equals.length === 1
        ? 'yes'
        : 'maybe'
      : 'no';
  };
  const kept = new Set(
    numbers.filter((n) => {
      const { state, held = false, registered = false, daysAgo = 0 } = run(n) ?? {};
      return state === 'live' || held || registered || daysAgo < 90 || isNewest(n) === 'yes';
    }),
  );
  const maybe = new Set(numbers.filter((n) => isNewest(n) === 'maybe'));
  const close = (set: Set<number>) => {
    for (let grown = true; grown;) {
      grown = false;
      for (const n of [...set]) {
        const child = run(n)?.state === 'ended' ? (run(n)?.child ?? -1) : -1;
        // A run without a record has no name that its parent could call it by.
        if (child < 0 || set.has(child) || run(child)?.state !== 'ended') continue;
        set.add(child);
        grown = true;
      }
    }
  };
  close(kept);
  const possible = new Set([...kept, ...maybe]);
  close(possible);
  const namedBy = (runs: ReadonlySet<number>, isCertain: boolean) => [
    ...[...runs].flatMap((n) =>
      run(n)?.state === 'without record' ? [] : named(past, n).map((of) => attemptOf(of, 1)),
    ),
    ...numbers.flatMap((n) => {
      const of = run(n)?.uses ?? -1;
      const isKnown =
        run(n)?.state !== 'without record' || run(n)?.registered === true || run(n)?.held === true;
      const counts = (run(n)?.daysAgo ?? 0) < 90 || (runs.has(n) && isKnown);
      return counts && of >= 0 && of < past.length ? [attemptOf(of, 0)] : [];
    }),
    ...numbers.flatMap((n) => {
      const lastUse = Math.min(...numbers.filter((m) => run(m)?.uses === n).map((m) => run(m)?.daysAgo ?? 0));
      const daysAgo = Math.min(lastUse, run(n)?.daysAgo ?? 0);
      return run(n)?.cached === 'entry' && (daysAgo < 30 || !isCertain) && daysAgo < 30
        ? [attemptOf(n, 0)]
        : [];
    }),
  ];
  const unitsOf = (runs: ReadonlySet<number>, isCertain: boolean) =>
    new Set([...[...runs].flatMap((n) => [attemptOf(n, 0), attemptOf(n, 1)]), ...namedBy(runs, isCertain)]);
  const checkpoints = numbers.filter((n) => {
    const { state, held = false, daysAgo = 0 } = run(n) ?? {};
    return state === 'live' || held || daysAgo < 7;
  });
  const keptUnits = unitsOf(kept, true);
  for (const n of checkpoints) keptUnits.add(`runs/${executionOf(n)}/checkpoints`);
  return {
    keptUnits,
    mayStay: unitsOf(possible, false),
    keptKeys: [...kept].map((n) => storeKeys.run(executionOf(n))),
  };
}
