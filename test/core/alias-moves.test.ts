import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  KEPT_MOVES,
  markTag,
  moveTag,
  pushVersion,
  readMoves,
  reconcileAlias,
  rollbackTargets,
  type AliasMove,
  type JournaledMove,
} from '../../src/core/alias-moves.js';
import { digestOfText } from '../../src/core/digest.js';

const DAY = 86_400_000;
const NOW = 100 * DAY;
const move = (order: number, version: string | null, given: Partial<JournaledMove> = {}): JournaledMove => ({
  ...{ order, requestId: `r${order}`, alias: 'champion', kind: 'promote', version, replaced: null },
  ...{ stack: [], by: 'ana', atMs: NOW - 1_000, done: true, doubt: false, void: false },
  ...given,
});
const reconcile = (moves: readonly JournaledMove[], found: string | null, ownRequestId = 'own') => {
  const { settle, newest, finding } = reconcileAlias(moves, found, { ownRequestId, nowMs: NOW });
  return { finding, newest: newest?.order, settle: settle.map(({ move: of, as }) => [of.order, as]) };
};

describe('the journal of an alias', () => {
  const written: AliasMove = {
    ...{ order: 7, requestId: 'req', alias: 'champion', kind: 'promote', version: '3', replaced: '2' },
    ...{ stack: ['1', '2'], by: 'ana', atMs: 5 },
  };
  const key = `mlflow.anneal.move.champion.0000000000000007.${digestOfText('req').slice(0, 8)}`;

  test('is kept in tags whose names sort as its moves do, within what MLflow takes', () => {
    assert.equal(moveTag(written), key);
    assert.equal(markTag(written, 'done'), `${key}.done`);
    assert.match(moveTag({ ...written, alias: 'a'.repeat(100) }), /\.move\.a{100}\.0/);
    const long = moveTag({ ...written, alias: 'a'.repeat(101) });
    assert.equal(long.split('.')[3], digestOfText('a'.repeat(101)).slice(0, 32));
    assert.ok(markTag({ ...written, alias: 'a'.repeat(255) }, 'doubt').length <= 250);
  });

  test('is read from the tags of a model, oldest first, with what is marked on each', () => {
    const later = { ...written, order: 20, requestId: 'later', version: '4' };
    const other = { ...written, alias: 'other', order: 1 };
    const outside = { ...written, order: 30, kind: 'outside', version: '9' } as const;
    const moves = readMoves({
      [moveTag(outside)]: JSON.stringify(outside),
      [moveTag(later)]: JSON.stringify(later),
      [markTag(later, 'doubt')]: 'true',
      [markTag(later, 'void')]: 'true',
      [key]: JSON.stringify(written),
      [markTag(written, 'done')]: '',
      [moveTag(other)]: JSON.stringify(other),
    });
    assert.deepEqual([...moves.keys()].sort(), ['champion', 'other']);
    assert.deepEqual(moves.get('champion'), [
      { ...written, done: true, doubt: false, void: false },
      { ...later, done: false, doubt: true, void: true },
      { ...outside, done: true, doubt: false, void: false },
    ]);
    assert.equal(moves.get('other')?.[0]?.done, false);
  });

  test('leaves out what is none of its own, and what is damaged', () => {
    const { alias: _a, ...noAlias } = written;
    const { order: _o, ...noOrder } = written;
    const { stack: _s, ...noStack } = written;
    const tags = {
      'anneal.pipeline': JSON.stringify(written),
      [`x${key}`]: JSON.stringify(written),
      [`${key}.1`]: '{"alias":"champion"',
      [`${key}.2`]: JSON.stringify(noAlias),
      [`${key}.3`]: JSON.stringify(noOrder),
      [`${key}.4`]: JSON.stringify(noStack),
      [`${key}.done`]: JSON.stringify(written),
      [`${key}.doubt`]: JSON.stringify(written),
      [`${key}.void`]: JSON.stringify(written),
      [`${key}.done.x`]: JSON.stringify({ ...written, order: 8 }),
    };
    assert.deepEqual(
      [...readMoves(tags).values()].flat().map(({ order }) => order),
      [8],
    );
  });

  test('keeps as many moves as versions', () => assert.equal(KEPT_MOVES, 50));
});

describe('an alias that is compared with its journal', () => {
  for (const [what, moves, found, expected] of [
    ['without moves is as recorded', [], '1', { finding: 'as-recorded', newest: undefined, settle: [] }],
    [
      'that stands where the newest move brought it is as recorded',
      [move(1, '1'), move(2, '2')],
      '2',
      { finding: 'as-recorded', newest: 2, settle: [] },
    ],
    [
      'whose last move was not confirmed is done where it stands there',
      [move(1, '1'), move(2, '2', { done: false })],
      '2',
      { finding: 'as-recorded', newest: 2, settle: [[2, 'done']] },
    ],
    [
      'whose last move was not confirmed has not happened where it stands elsewhere',
      [move(1, '1'), move(2, '2', { done: false })],
      '1',
      { finding: 'as-recorded', newest: 1, settle: [[2, 'void']] },
    ],
    [
      'whose earlier move was not confirmed was passed over, wherever it stands',
      [move(1, '1', { done: false }), move(2, '2')],
      '2',
      { finding: 'as-recorded', newest: 2, settle: [[1, 'void']] },
    ],
    [
      'that stands where a move in doubt wanted it was late',
      [move(1, '1', { doubt: true }), move(2, '2')],
      '1',
      { finding: 'late', newest: 2, settle: [] },
    ],
    [
      'that stands where a move wanted it that was given up was late',
      [move(1, '1', { done: false, void: true }), move(2, '2')],
      '1',
      { finding: 'late', newest: 2, settle: [] },
    ],
    [
      'that stands where a settled move had it was moved by somebody else',
      [move(1, '1'), move(2, '2')],
      '1',
      { finding: 'outside', newest: 2, settle: [] },
    ],
    [
      'that stands where nobody asked it to be was moved by somebody else',
      [move(1, '1', { doubt: true }), move(2, '2')],
      '7',
      { finding: 'outside', newest: 2, settle: [] },
    ],
    [
      'that is gone was removed by somebody else',
      [move(1, '1', { doubt: true })],
      null,
      { finding: 'outside', newest: 1, settle: [] },
    ],
    [
      'that stands where a move in doubt of more than a day ago wanted it was moved by somebody else',
      [move(1, '1', { doubt: true, atMs: NOW - DAY }), move(2, '2')],
      '1',
      { finding: 'outside', newest: 2, settle: [] },
    ],
    [
      'that stands where a move in doubt of a day ago wanted it was late',
      [move(1, '1', { doubt: true, atMs: NOW - DAY + 1 }), move(2, '2')],
      '1',
      { finding: 'late', newest: 2, settle: [] },
    ],
    [
      'that stands where a move had it after what the newest one was based on was late',
      [move(3, '3'), move(4, '2', { base: 2 })],
      '3',
      { finding: 'late', newest: 4, settle: [] },
    ],
    [
      'that stands where a move had it that the newest one knew of was moved by somebody else',
      [move(3, '3'), move(4, '2', { base: 3 })],
      '3',
      { finding: 'outside', newest: 4, settle: [] },
    ],
    [
      'that the newest move itself left in doubt, and that stands elsewhere, was moved by somebody else',
      [move(1, '1'), move(2, '2', { doubt: true })],
      '1',
      { finding: 'outside', newest: 2, settle: [] },
    ],
  ] as const)
    test(what, () => assert.deepEqual(reconcile(moves, found), expected));

  test('is as recorded where the request that asks has moved it already', () => {
    const moves = [move(1, '1'), move(2, '2', { done: false, requestId: 'own' })];
    assert.deepEqual(reconcile(moves, '2'), { finding: 'as-recorded', newest: 1, settle: [] });
    // Of another request it would be.
    assert.deepEqual(reconcile(moves, '2', 'else').settle, [[2, 'done']]);
    // Neither a move that it gave up nor one that was overtaken counts as that.
    assert.equal(
      reconcile([move(1, '1'), move(2, '2', { done: false, void: true, requestId: 'own' })], '2').finding,
      'late',
    );
    assert.equal(
      reconcile([move(3, '1'), move(2, '2', { done: false, requestId: 'own' })], '2').finding,
      'late',
    );
    assert.equal(
      reconcile([move(1, '1'), move(2, '3', { done: false, requestId: 'own' })], '2').finding,
      'outside',
    );
    const alone = [move(1, '1', { done: false, requestId: 'own' })];
    assert.deepEqual(reconcile(alone, '1'), { finding: 'as-recorded', newest: undefined, settle: [] });
    // What it has finished is a move like others.
    assert.equal(reconcile([move(1, '1', { requestId: 'own' })], '2').finding, 'outside');
  });

  test('is settled so that what is left says where it stands, whatever happened', () => {
    const any = fc.record({
      version: fc.constantFrom('1', '2', '3', null),
      done: fc.boolean(),
      doubt: fc.boolean(),
      void: fc.boolean(),
      age: fc.integer({ min: 0, max: 2 * DAY }),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 6 }), fc.constantFrom('1', '2', '3', null), (given, found) => {
        const moves = given.map(({ version, age, ...marks }, i) =>
          move(i + 1, version, { ...marks, atMs: NOW - age }),
        );
        const { settle, newest, finding } = reconcileAlias(moves, found, { ownRequestId: 'own', nowMs: NOW });
        const settled = new Map(settle.map(({ move: of, as }) => [of, as]));
        for (const of of moves) assert.equal(settled.has(of), !of.done && !of.void);
        assert.ok(settle.filter(({ as }) => as === 'done').length <= 1);
        if (newest) assert.ok(!newest.void && settled.get(newest) !== 'void');
        assert.equal(finding === 'as-recorded', newest === undefined || newest.version === found);
        // Once it is settled, another look finds nothing more to settle, and the same.
        const after = moves.map((of) => {
          const as = settled.get(of);
          return as === undefined ? of : { ...of, [as]: true };
        });
        const again = reconcileAlias(after, found, { ownRequestId: 'own', nowMs: NOW });
        assert.deepEqual(again.settle, []);
        assert.equal(again.newest?.order, newest?.order);
        assert.equal(again.finding, finding);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what an alias was before', () => {
  test('is remembered once, 50 versions long', () => {
    assert.deepEqual(pushVersion(['1'], '2'), ['1', '2']);
    assert.deepEqual(pushVersion(['1', '2'], '2'), ['1', '2']);
    assert.deepEqual(pushVersion(['2', '1'], '2'), ['2', '1', '2']);
    const many = Array.from({ length: 50 }, (_, n) => String(n));
    assert.deepEqual(pushVersion(many, '50'), [...many.slice(1), '50']);
  });

  test('is where it may go back to, the newest first, with what is remembered then', () => {
    assert.deepEqual(rollbackTargets({ current: '3', stack: ['1', '2', '3'] }), [['1', '2'], ['1']]);
    assert.deepEqual(rollbackTargets({ current: null, stack: ['1', '2'] }), [['1', '2'], ['1']]);
    assert.deepEqual(rollbackTargets({ current: '1', stack: ['1'] }), []);
    assert.deepEqual(rollbackTargets({ current: null, stack: [] }), []);
  });
});
