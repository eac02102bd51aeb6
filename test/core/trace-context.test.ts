import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';

import { traceParent } from '../../src/core/trace-context.js';

describe('trace context', () => {
  test('is a W3C traceparent whose ids are prefixes of the sha256 of execution id and attempt name', () => {
    const hex = (text: string) => createHash('sha256').update(text).digest('hex');
    const value = traceParent('exec-1', 'train-abc-a1');
    assert.match(value, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.equal(value, `00-${hex('exec-1').slice(0, 32)}-${hex('train-abc-a1').slice(0, 16)}-01`);
  });

  test('has ids that are not zero', () => {
    // Names whose digests begin or end with a zero keep them.
    for (let n = 0; n < 200; n++) {
      const hex = createHash('sha256').update(`e${n}`).digest('hex');
      assert.equal(traceParent(`e${n}`, `e${n}`), `00-${hex.slice(0, 32)}-${hex.slice(0, 16)}-01`);
    }
  });

  test('has one trace for a run and one span for each attempt', () => {
    const [first, second] = [traceParent('exec-1', 'train-a1'), traceParent('exec-1', 'train-a2')];
    assert.equal(first.split('-')[1], second.split('-')[1]);
    assert.notEqual(first.split('-')[2], second.split('-')[2]);
    assert.notEqual(first.split('-')[1], traceParent('exec-2', 'train-a1').split('-')[1]);
  });
});
