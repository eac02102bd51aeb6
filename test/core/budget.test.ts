import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  budgetAtStart,
  budgetProblem,
  explainNearlySpent,
  explainSpent,
  judgeBudget,
  leftOf,
} from '../../src/core/budget.js';

const status = (spent: number, perHour = 0, warnedAtMs?: number) => ({
  ...{ limit: 100, spent, perHour, atMs: 0 },
  ...(warnedAtMs === undefined ? {} : { warnedAtMs }),
});

describe('a budget', () => {
  test('is nearly spent at 80 %, once, and spent at all of it', () => {
    assert.deepEqual(judgeBudget(status(79.9)), { say: 'nothing' });
    assert.deepEqual(judgeBudget(status(80)), { say: 'nearly-spent' });
    assert.deepEqual(judgeBudget(status(99, 0, 5)), { say: 'nothing' });
    assert.deepEqual(judgeBudget(status(100, 1, 5)), { say: 'spent' });
    assert.equal(judgeBudget({ ...status(0.1 + 0.2), limit: 0.3 }).say, 'spent');
  });

  test('is looked at again when the next of the two is reached at the rate of now', () => {
    assert.equal(judgeBudget(status(40, 80)).lookInMs, 1_800_000);
    assert.equal(judgeBudget(status(90, 10, 5)).lookInMs, 3_600_000);
    assert.equal(judgeBudget(status(85, 15)).lookInMs, 3_600_000);
    assert.equal(judgeBudget(status(40)).lookInMs, undefined);
  });

  test('is what the start says, else what the pipeline says; of a sub-pipeline at most what is left', () => {
    assert.equal(budgetAtStart(undefined, undefined), undefined);
    assert.equal(budgetAtStart(undefined, 5), 5);
    assert.equal(budgetAtStart(7, 5), 7);
    assert.equal(budgetAtStart({ atMost: 7 }, 5), 5);
    assert.equal(budgetAtStart({ atMost: 3 }, 5), 3);
    assert.equal(budgetAtStart({ atMost: 3 }, undefined), 3);
    for (const wrong of ['7', -1, 0, Number.NaN, null, {}]) assert.equal(budgetAtStart(wrong, 5), 5);
    assert.equal(leftOf(status(30)), 70);
    assert.ok(leftOf(status(130)) > 0);
  });

  test('is a number above 0', () => {
    assert.equal(budgetProblem(0.01), undefined);
    for (const wrong of [0, -1, Number.NaN, Infinity, '5', undefined])
      assert.match(budgetProblem(wrong) ?? '', /number above 0/);
  });

  test('is at most a million millions, and a refusal names what was given', () => {
    assert.equal(budgetProblem(1e12), undefined);
    assert.equal(
      budgetProblem(1.1e12),
      "A budget is a number above 0, in the currency of the pools' pricePerHour; it is 1100000000000.",
    );
    assert.match(budgetProblem(undefined) ?? '', /; it is nothing\.$/);
    assert.match(budgetProblem('5') ?? '', /; it is "5"\.$/);
  });

  test('that is nearly spent says what is added, and how to raise it', () => {
    const raise =
      "What would cost more than that is stopped, and the run fails. Raise the budget with: npx anneal set 'a run' --budget 200.00";
    assert.equal(
      explainNearlySpent(status(80, 12.5), 'a run'),
      `The run has cost 80.00 of its budget of 100.00; 12.50 an hour are added by what runs now. ${raise}`,
    );
    assert.equal(
      explainNearlySpent(status(80), 'a run'),
      `The run has cost 80.00 of its budget of 100.00. ${raise}`,
    );
  });

  test('that is spent says how to go on, for a shell', () => {
    assert.match(
      explainSpent(status(101), 'r'),
      /^The run has cost 101\.00, all of its budget of 100\.00; what ran was stopped, after its checkpoints\. Go on from there with: /,
    );
    assert.match(
      explainSpent(status(101), "ana's run"),
      /npx anneal retry 'ana'\\''s run' --budget 200\.00$/,
    );
  });
});
