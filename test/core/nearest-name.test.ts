import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { nearestName } from '../../src/core/nearest-name.js';

describe('the nearest name', () => {
  for (const [typed, candidates, near] of [
    ['threshhold', ['table', 'threshold'], 'threshold'],
    ['tabel', ['table', 'threshold'], 'table'],
    ['cp', ['cpu', 'gpu'], 'cpu'],
    ['x', ['s'], undefined],
    ['iris', ['mlc_churn', 'wa_churn'], undefined],
  ] as const)
    test(`of "${typed}" among ${candidates.join(', ')} is ${near ?? 'none'}`, () => {
      assert.equal(nearestName(typed, candidates), near);
    });
});
