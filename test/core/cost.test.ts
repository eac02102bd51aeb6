import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addCost, costOfAttempt, formatCost } from '../../src/core/cost.js';

test('an attempt costs its hours by the price of its pool, and nothing is said without one', () => {
  const times = { startedAtMs: 1_000, endedAtMs: 1_000 + 1_800_000 };
  assert.equal(costOfAttempt({ pricePerHour: 3 }, times), 1.5);
  assert.equal(costOfAttempt({ pricePerHour: 0 }, times), 0);
  assert.equal(costOfAttempt({}, times), undefined);
  assert.equal(costOfAttempt({ pricePerHour: 3 }, { startedAtMs: 2_000, endedAtMs: 1_000 }), 0);
});

test('costs add up without the noise of binary fractions', () => {
  assert.equal(addCost(undefined, 0.1), 0.1);
  assert.equal(addCost(0.1, 0.2), 0.3);
  assert.equal(addCost(1, 0.0000004), 1);
});

test('a cost has two digits behind the point, and one that counts where it is small', () => {
  const texts = [0, 0.01, 0.0099, 0.000123, 1.005, 12.5, 1234].map(formatCost);
  assert.deepEqual(texts, ['0.00', '0.01', '0.01', '0.0001', '1.00', '12.50', '1234.00']);
});
