import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ModelRegistry } from '../../src/activities/ports/model-registry.js';
import { createRegistryActivities } from '../../src/activities/registry.js';
import { readMoves } from '../../src/core/alias-moves.js';
import type { AliasOperation, LaneResult } from '../../src/core/registry.js';
import type { Fault } from './fake-mlflow.js';
import { createContext, createMemoryStore, withMlflow } from './fixtures.js';

const MODEL = 'churn-predictor';
type Parts = Parameters<Parameters<typeof withMlflow>[0]>[0];
type Asked = {
  readonly id?: string;
  readonly order?: number;
  readonly attempt?: number;
  readonly signal?: AbortSignal;
};

interface Lane extends Parts {
  /** Carries out one operation, as the lane would: with a request of its own and a rising order. */
  readonly ask: (
    operation: AliasOperation | { readonly kind: 'reconcile' },
    asked?: Asked & { readonly registry?: ModelRegistry },
  ) => Promise<LaneResult>;
  readonly aliases: () => { readonly [alias: string]: string };
  readonly moves: () => readonly (readonly [string, string | null])[];
}

const by = 'ana';
const to = (version: number): AliasOperation => ({
  kind: 'promote',
  alias: 'champion',
  version: String(version),
  by,
});
const ROLLBACK: AliasOperation = { kind: 'rollback', alias: 'champion', by };
const DEMOTE: AliasOperation = { kind: 'demote', alias: 'champion', by };

/** A model with versions 1 to 4 and no alias. */
async function withLane(use: (lane: Lane) => Promise<void>): Promise<void> {
  await withMlflow(async (parts) => {
    const { fake, clock } = parts;
    fake.state.registered.set(MODEL, { name: MODEL, aliases: new Map(), tags: new Map() });
    for (const version of ['1', '2', '3', '4'])
      fake.state.versions.push({ name: MODEL, version, source: 's', tags: new Map() });
    let requests = 0;
    const tags = () => Object.fromEntries(fake.state.registered.get(MODEL)?.tags ?? []);
    await use({
      ...parts,
      ask: async (operation, { id, order, attempt = 1, signal, registry = parts.registry } = {}) => {
        requests += 1;
        const context = createContext({ attempt, ...(signal === undefined ? {} : { signal }) });
        const { runLaneOperation } = createRegistryActivities({
          registry,
          clock,
          context,
          store: createMemoryStore(),
        });
        return await runLaneOperation({
          modelName: MODEL,
          operation,
          requestId: id ?? `request-${requests}`,
          order: order ?? requests * 1_000,
        });
      },
      aliases: () => Object.fromEntries(fake.state.registered.get(MODEL)?.aliases ?? []),
      moves: () =>
        (readMoves(tags()).get('champion') ?? [])
          .filter((m) => !m.void)
          .map((m) => [m.kind, m.version] as const),
    });
  });
}

describe('an alias', () => {
  test('goes back through everything that it pointed at, one version at a time', () =>
    withLane(async ({ ask, aliases }) => {
      for (const version of [1, 2, 3]) await ask(to(version));
      assert.deepEqual(aliases(), { champion: '3', 'previous-champion': '2' });
      assert.deepEqual(await ask(ROLLBACK), { version: '2', replaced: '3' });
      assert.deepEqual(aliases(), { champion: '2', 'previous-champion': '1' });
      assert.deepEqual(await ask(ROLLBACK), { version: '1', replaced: '2' });
      assert.deepEqual(aliases(), { champion: '1' });
      await assert.rejects(ask(ROLLBACK), {
        code: 'InvalidInput',
        message: /points at version 1 and remembers no version before/,
      });
      assert.deepEqual(aliases(), { champion: '1' });
    }));

  test('skips a version that was deleted since', () =>
    withLane(async ({ ask, fake }) => {
      for (const version of [1, 2, 3]) await ask(to(version));
      fake.state.versions.splice(1, 1);
      assert.equal((await ask(ROLLBACK)).version, '1');
    }));

  test('is removed by demote and comes back by rollback; promoting after a demotion remembers what was demoted', () =>
    withLane(async ({ ask, aliases }) => {
      await assert.rejects(ask(DEMOTE), { code: 'InvalidInput', message: /is not set/ });
      for (const version of [1, 2]) await ask(to(version));
      assert.equal((await ask(DEMOTE)).version, '2');
      assert.deepEqual(aliases(), { 'previous-champion': '2' });
      assert.equal((await ask(ROLLBACK)).version, '2');
      assert.deepEqual(aliases(), { champion: '2', 'previous-champion': '1' });
      await ask(DEMOTE);
      await ask(to(3));
      assert.equal((await ask(ROLLBACK)).version, '2');
    }));

  test('remembers where it was before Anneal moved it for the first time', () =>
    withLane(async ({ ask, fake }) => {
      fake.state.registered.get(MODEL)?.aliases.set('champion', '4');
      await ask(to(1));
      assert.equal((await ask(ROLLBACK)).version, '4');
    }));

  test('is left alone by a request that is repeated after others, however they went to and fro', () =>
    withLane(async ({ ask, aliases, moves }) => {
      for (const [id, version] of [
        ['a', 1],
        ['b', 2],
        ['c', 1],
        ['d', 2],
      ] as const)
        await ask(to(version), { id });
      for (const id of ['a', 'c']) assert.equal((await ask(to(1), { id })).version, '1');
      assert.equal(aliases()['champion'], '2');
      assert.equal(moves().length, 4);
    }));

  test('keeps 50 moves and its way back', () =>
    withLane(async ({ ask, moves, fake }) => {
      for (let i = 0; i < 60; i++) await ask(to(1 + (i % 3)));
      assert.equal(moves().length, 50);
      assert.ok((fake.state.registered.get(MODEL)?.tags.size ?? 0) <= 100);
      assert.equal((await ask(ROLLBACK)).version, '2');
    }));

  test('that somebody moved without Anneal stays there, and is remembered', () =>
    withLane(async ({ ask, aliases, moves, fake }) => {
      for (const version of [1, 2]) await ask(to(version));
      fake.state.registered.get(MODEL)?.aliases.set('champion', '1');
      assert.deepEqual(await ask({ kind: 'reconcile' }), { version: '' });
      assert.equal(aliases()['champion'], '1');
      assert.deepEqual(moves().at(-1), ['outside', '1']);
      assert.equal((await ask(ROLLBACK)).version, '2');
    }));

  test('is moved by no request that is older than what was done', () =>
    withLane(async ({ ask, aliases }) => {
      await ask(to(1), { order: 5_000 });
      await assert.rejects(ask(to(2), { order: 4_000 }), {
        code: 'RegistrationFailed',
        message: /later request/,
      });
      assert.equal(aliases()['champion'], '1');
    }));
});

describe('a write that comes late', () => {
  for (const operation of [{ kind: 'reconcile' } as const, to(4)])
    test(`past a newer promotion is undone and recorded by the next ${operation.kind}`, () =>
      withLane(async ({ ask, aliases, moves, fake }) => {
        fake.fail('POST registered-models/alias', 'late');
        assert.equal((await ask(to(2))).doubtful, true);
        await ask(to(3));
        fake.commitLate();
        assert.equal(aliases()['champion'], '2', 'the fault happened');
        const { repairs } = await ask(operation);
        assert.deepEqual(repairs, [{ alias: 'champion', version: '3', found: '2' }]);
        assert.equal(aliases()['champion'], operation.kind === 'promote' ? '4' : '3');
        assert.deepEqual(moves()[2], ['repair', '3']);
        assert.equal((await ask(ROLLBACK)).version, operation.kind === 'promote' ? '3' : '2');
      }));

  test('of a worker that was stopped while its successor did the work is undone', () =>
    withLane(async ({ ask, aliases, registry }) => {
      await ask(to(1));
      let wake: () => void = () => undefined;
      let stopped: () => void = () => undefined;
      const asleep = new Promise<void>((resolve) => (stopped = resolve));
      const woken = new Promise<void>((resolve) => (wake = resolve));
      const slow: ModelRegistry = {
        ...registry,
        setAlias: async (alias, signal) => {
          if (alias.alias === 'champion') {
            stopped();
            await woken;
          }
          return await registry.setAlias(alias, signal);
        },
      };
      const same = { id: 'same', order: 50_000 };
      const zombie = ask(to(2), { ...same, registry: slow });
      await asleep;
      assert.equal((await ask(to(2), { ...same, attempt: 2 })).version, '2');
      await ask(to(3), { order: 60_000 });
      wake();
      await zombie;
      assert.equal(aliases()['champion'], '2', 'the fault happened');
      const { repairs } = await ask({ kind: 'reconcile' }, { order: 70_000 });
      assert.deepEqual(repairs, [{ alias: 'champion', version: '3', found: '2' }]);
      assert.equal(aliases()['champion'], '3');
    }));

  test('of an operation that was cancelled is undone', () =>
    withLane(async ({ ask, aliases, fake }) => {
      const cancel = new AbortController();
      fake.fail('POST registered-models/alias', 'late');
      fake.onCall = () => {
        if (fake.happened.length === 1) cancel.abort(new Error('cancelled'));
      };
      await assert.rejects(ask(to(2), { signal: cancel.signal }), /cancelled/);
      fake.onCall = undefined;
      await ask(to(3));
      fake.commitLate();
      assert.equal(aliases()['champion'], '2', 'the fault happened');
      assert.equal((await ask({ kind: 'reconcile' })).repairs?.length, 1);
      assert.equal(aliases()['champion'], '3');
    }));

  test('is told from a decision of today by its age: after a day, it counts', () =>
    withLane(async ({ ask, aliases, fake, clock }) => {
      fake.fail('POST registered-models/alias', 'late');
      await ask(to(2));
      await ask(to(3));
      await clock.sleep(25 * 3_600_000, new AbortController().signal);
      fake.commitLate();
      await ask({ kind: 'reconcile' });
      assert.equal(aliases()['champion'], '2');
    }));
});

describe('moving an alias', () => {
  const FAULTS = [
    'drop-before',
    'drop-after',
    '500-before',
    '500-after',
    'hang-before',
    'hang-after',
  ] satisfies Fault[];
  for (const fault of FAULTS)
    test(`ends as asked when every one of its calls meets ${fault} once`, () =>
      withLane(async ({ ask, aliases, moves, fake }) => {
        await ask(to(1));
        for (const call of new Set(fake.calls)) fake.fail(call, fault);
        assert.equal((await ask(to(2))).replaced, '1');
        assert.deepEqual(aliases(), { champion: '2', 'previous-champion': '1' });
        assert.deepEqual(moves(), [
          ['promote', '1'],
          ['promote', '2'],
        ]);
        assert.ok(fake.happened.length >= 5);
      }));

  for (const repeated of [true, false])
    test(`that was ended after any of its calls leaves one story, ${repeated ? 'repeated to its end' : 'followed by another'}`, () =>
      withLane(async ({ ask, aliases, moves, fake }) => {
        await ask(to(1));
        const before = fake.calls.length;
        await ask(to(2));
        const total = fake.calls.length - before;
        for (let after = 1; after <= total; after++) {
          const cancel = new AbortController();
          const seen = fake.calls.length;
          const version = 1 + (after % 2) * 2;
          const id = `ended-${after}`;
          const order = 1_000_000 * after;
          fake.onCall = () => {
            if (fake.calls.length === seen + after) cancel.abort(new Error('ended'));
          };
          await ask(to(version), { id, order, signal: cancel.signal }).then(
            () => undefined,
            () => undefined,
          );
          fake.onCall = undefined;
          if (repeated) await ask(to(version), { id, order, attempt: 2 });
          else await ask(to(4), { order: order + 500_000 });
          const expected = repeated ? String(version) : '4';
          assert.equal(aliases()['champion'], expected, `ended after call ${after}`);
          assert.equal(moves().at(-1)?.[1], expected);
          assert.ok(!moves().some(([kind]) => kind === 'outside'), `ended after call ${after}`);
          if (repeated) assert.equal(moves().filter(([, to]) => to === expected).length > 0, true);
        }
      }));
});
