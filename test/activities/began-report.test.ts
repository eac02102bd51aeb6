import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createBeganReport, REPORT_AFTER_MS } from '../../src/activities/began-report.js';
import type { AttemptBegan } from '../../src/core/budget.js';
import { buildRequest, createContext } from '../tracking/fixtures.js';

const BEGAN_MS = 1_000;

function setUp(tellsBegan: boolean, failures = 0) {
  const told: AttemptBegan[] = [];
  let left = failures;
  const report = createBeganReport(
    {
      clock: { nowMs: () => BEGAN_MS },
      tellBegan: (_execution, began) => {
        told.push(began);
        return left-- > 0 ? Promise.reject(new Error('away')) : Promise.resolve();
      },
    },
    { context: createContext()(), request: buildRequest({ attempt: 2, ...(tellsBegan && { tellsBegan }) }) },
  );
  return { report, told };
}

describe('the report that an attempt runs', () => {
  test('is sent once it has run for some seconds, and again until it arrives; waiting counts not', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { report, told } = setUp(true, 1);
    report.see({ phase: 'preparing', sinceMs: 0 });
    report.see({ phase: 'queued', sinceMs: 0 });
    t.mock.timers.tick(60_000);
    assert.deepEqual(told, []);
    report.see({ phase: 'running', sinceMs: BEGAN_MS });
    report.see({ phase: 'uploading', sinceMs: 9_000 });
    t.mock.timers.tick(REPORT_AFTER_MS - 1);
    assert.equal(told.length, 0);
    t.mock.timers.tick(1);
    assert.deepEqual(told, [{ callId: 'c0ffee', attempt: 2, startedAtMs: BEGAN_MS }]);
    await Promise.resolve();
    await Promise.resolve();
    t.mock.timers.tick(5_000);
    assert.equal(told.length, 2);
    await Promise.resolve();
    t.mock.timers.tick(60_000);
    assert.equal(told.length, 2);
  });

  test('is not sent for one that is over soon, nor where the run has no budget', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const over = setUp(true);
    over.report.see({ phase: 'running', sinceMs: BEGAN_MS });
    over.report.stop();
    const free = setUp(false);
    free.report.see({ phase: 'running', sinceMs: BEGAN_MS });
    t.mock.timers.tick(60_000);
    assert.deepEqual([...over.told, ...free.told], []);
  });
});
