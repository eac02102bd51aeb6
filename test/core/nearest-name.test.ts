import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { didYouMean, nearestName } from '../../src/core/nearest-name.js';

describe('the nearest name', () => {
  for (const [typed, candidates, near] of [
    ['threshhold', ['table', 'threshold'], 'threshold'],
    ['tabel', ['table', 'threshold'], 'table'],
    ['cp', ['cpu', 'gpu'], 'cpu'],
    ['x', ['s'], undefined],
    ['iris', ['mlc_churn', 'wa_churn'], undefined],
    ['CPU', ['cpu'], 'cpu'],
    ['ab', ['ba'], 'ba'],
    ['ba', ['ab'], 'ab'],
    ['xab', ['xba'], 'xba'],
    ['abx', ['bax'], 'bax'],
    ['aab', ['aba'], 'aba'],
    ['train', ['trains', 'train-x', 'drain'], 'trains'],
    ['trains', ['trainsxy', 'trainsx'], 'trainsx'],
    ['abcdef', ['abcdxyz'], undefined],
    ['abcdef', ['abcdxy'], 'abcdxy'],
    ['abcdef', ['abcxyz'], undefined],
    ['abcdef', ['badcef'], 'badcef'],
    ['abcdef', ['badcfe'], undefined],
    ['a', ['ab'], undefined],
    ['ab', ['a'], 'a'],
    ['ab', ['cd'], undefined],
    ['ab', ['ax', 'ay'], 'ax'],
    ['abcdefghi', ['abcdefxyz'], 'abcdefxyz'],
    ['abcdef', ['abcdefghi'], 'abcdefghi'],
    ['abcdefghi', ['abcdef'], 'abcdef'],
    ['abcd', ['bacx'], undefined],
    ['abc', ['cba'], undefined],
    ['', ['a'], undefined],
    ['a', [], undefined],
  ] as const)
    test(`of "${typed}" among ${candidates.join(', ')} is ${near ?? 'none'}`, () => {
      assert.equal(nearestName(typed, candidates), near);
    });

  test('is asked about where there is one, and nothing is said where there is none', () => {
    assert.equal(didYouMean('cp', ['cpu']), ' Did you mean "cpu"?');
    assert.equal(didYouMean('iris', ['cpu']), '');
  });
});
