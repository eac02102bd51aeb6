import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FAILURES, type FailureCode } from '../../src/core/failures.js';
import { parseBytes } from '../../src/core/quantity.js';
import {
  decideRetry,
  FIRST_ATTEMPT,
  INFRASTRUCTURE_RETRIES,
  type FailedAttempt,
  type RetryState,
} from '../../src/core/retry.js';
import type { Resources, RetryPolicy } from '../../src/core/step.js';

const codes = Object.keys(FAILURES) as FailureCode[];
const decide = (
  code: FailureCode,
  policy: RetryPolicy = {},
  from: Partial<Pick<FailedAttempt, 'pool'>> & {
    readonly state?: Partial<RetryState>;
    readonly resources?: Resources;
  } = {},
) =>
  decideRetry(policy, from.resources ?? {}, {
    outcome: { code },
    state: { ...FIRST_ATTEMPT, ...from.state },
    ...(from.pool && { pool: from.pool }),
  });

describe('after a user failure', () => {
  const policy: RetryPolicy = { attempts: 3, delay: '10s', backoff: 3, maxDelay: '20s' };
  for (const [what, decision, expected] of [
    ['a step without retry fails', decide('StepFailed'), { action: 'fail', reason: 'the step has no retry' }],
    [
      'the first delay is the one of the policy',
      decide('StepFailed', policy),
      {
        action: 'retry',
        delayMs: 10_000,
        state: { attempt: 2, userFailures: 1, infrastructureFailuresInARow: 0 },
      },
    ],
    [
      'the second is larger, and at most the largest',
      decide('StepTimedOut', policy, { state: { attempt: 2, userFailures: 1 } }),
      {
        action: 'retry',
        delayMs: 20_000,
        state: { attempt: 3, userFailures: 2, infrastructureFailuresInARow: 0 },
      },
    ],
    [
      'the last attempt is the last',
      decide('OutputMissing', policy, { state: { attempt: 3, userFailures: 2 } }),
      { action: 'fail', reason: 'all 3 attempts failed' },
    ],
    [
      'infrastructure failures before it are forgotten, and their attempts not counted',
      decide('StepFailed', policy, { state: { attempt: 5, infrastructureFailuresInARow: 4 } }),
      {
        action: 'retry',
        delayMs: 10_000,
        state: { attempt: 6, userFailures: 1, infrastructureFailuresInARow: 0 },
      },
    ],
    [
      'bad input is not tried again',
      decide('StepRefused', policy),
      { action: 'fail', reason: 'the same input would fail again' },
    ],
  ] as const)
    test(what, () => assert.deepEqual(decision, expected));
});

describe('after an infrastructure failure', () => {
  for (const [inARow, delayMs] of [
    [0, 1_000],
    [1, 2_000],
    [2, 4_000],
    [3, 8_000],
    [4, 16_000],
  ] as const)
    test(`number ${inARow + 1} in a row waits ${delayMs} ms, whatever the step's retry says`, () =>
      assert.deepEqual(
        decide(
          'AttemptLost',
          { delay: '5m' },
          { state: { attempt: 9, infrastructureFailuresInARow: inARow } },
        ),
        {
          action: 'retry',
          delayMs,
          state: { attempt: 10, userFailures: 0, infrastructureFailuresInARow: inARow + 1 },
        },
      ));

  test('the sixth in a row ends the step', () => {
    assert.deepEqual(
      decide('AttemptKilled', { attempts: 99 }, { state: { infrastructureFailuresInARow: 5 } }),
      {
        action: 'fail',
        reason: '6 infrastructure failures in a row',
      },
    );
  });

  for (const [what, ran, inARow] of [
    ['one that ran for ten minutes begins the row anew', { startedAtMs: 50_000, endedAtMs: 650_000 }, 1],
    ['one that ran a little shorter goes on with it', { startedAtMs: 50_001, endedAtMs: 650_000 }, 6],
    ['one of which no time is known goes on with it', {}, 6],
    ['one of which the end alone is known ran since 1970', { endedAtMs: 600_000 }, 1],
    ['one of which the start alone is known goes on with it', { startedAtMs: 600_000 }, 6],
  ] as const)
    test(`${what}`, () => {
      const state = { ...FIRST_ATTEMPT, infrastructureFailuresInARow: 5 };
      const decision = decideRetry({}, {}, { outcome: { code: 'AttemptLost', ...ran }, state });
      assert.deepEqual(
        decision,
        inARow > INFRASTRUCTURE_RETRIES
          ? { action: 'fail', reason: '6 infrastructure failures in a row' }
          : {
              action: 'retry',
              delayMs: 1_000,
              state: { attempt: 2, userFailures: 0, infrastructureFailuresInARow: 1 },
            },
      );
    });

  test("never the step's own budget is spent", () => {
    const decision = decide('UploadFailed', { attempts: 2 }, { state: { userFailures: 1 } });
    assert.equal(decision.action === 'retry' && decision.state.userFailures, 1);
  });
});

describe('out of memory', () => {
  const policy: RetryPolicy = { outOfMemory: { memory: 'x2', max: '20Gi' } };
  for (const [memory, next] of [
    ['8Gi', '16Gi'],
    ['16Gi', '20Gi'],
    ['1.5Gi', '3Gi'],
    ['700Mi', '1400Mi'],
    ['9000M', '17166Mi'],
  ] as const)
    test(`${memory} becomes ${next} at once`, () =>
      assert.deepEqual(decide('OutOfMemory', policy, { resources: { memory } }), {
        action: 'retry',
        delayMs: 0,
        state: { attempt: 2, userFailures: 0, infrastructureFailuresInARow: 0, memory: next },
      }));

  test('at the largest amount is a failure like another', () => {
    const state = { attempt: 3, memory: '20Gi' };
    assert.deepEqual(decide('OutOfMemory', policy, { state, resources: { memory: '8Gi' } }), {
      action: 'fail',
      reason: 'the step has no retry; its memory (20Gi) is at the limit of retry.outOfMemory (max 20Gi)',
    });
    const retried = decide(
      'OutOfMemory',
      { ...policy, attempts: 2 },
      { state, resources: { memory: '8Gi' } },
    );
    assert.deepEqual(retried.action === 'retry' && retried.state, {
      attempt: 4,
      userFailures: 1,
      infrastructureFailuresInARow: 0,
      memory: '20Gi',
    });
  });

  test('asks for no more than the pool offers, and says that it was the pool', () => {
    const pool = { name: 'cpu', memory: '12Gi' };
    const raised = decide('OutOfMemory', policy, { pool, resources: { memory: '8Gi' } });
    assert.equal(raised.action === 'retry' && raised.state.memory, '12Gi');
    const state = { attempt: 2, memory: '12Gi' };
    assert.deepEqual(decide('OutOfMemory', policy, { pool, state, resources: { memory: '8Gi' } }), {
      action: 'fail',
      reason: 'the step has no retry; its memory (12Gi) is at the most that pool "cpu" offers (12Gi)',
    });
    const unlimited = decide('OutOfMemory', policy, { pool: { name: 'cpu' }, resources: { memory: '8Gi' } });
    assert.equal(unlimited.action === 'retry' && unlimited.state.memory, '16Gi');
  });

  test('says that the rule is the limit where the pool has none, more, or as much', () => {
    const state = { attempt: 2, memory: '20Gi' };
    for (const pool of [{ name: 'cpu' }, { name: 'cpu', memory: '64Gi' }, { name: 'cpu', memory: '20Gi' }]) {
      const decision = decide('OutOfMemory', policy, { pool, state, resources: { memory: '8Gi' } });
      assert.match(
        decision.action === 'fail' ? decision.reason : '',
        /limit of retry\.outOfMemory \(max 20Gi\)$/,
      );
    }
  });

  test('is the only failure after which there is more memory', () => {
    const decision = decide('StepFailed', { ...policy, attempts: 2 }, { resources: { memory: '8Gi' } });
    assert.deepEqual(decision.action === 'retry' && decision.state, {
      attempt: 2,
      userFailures: 1,
      infrastructureFailuresInARow: 0,
    });
  });

  test('without an amount of memory or a rule is a failure like another', () => {
    assert.deepEqual(decide('OutOfMemory', policy), {
      action: 'fail',
      reason: 'the step has no retry; it asks for no resources.memory that could be raised',
    });
    assert.equal(decide('OutOfMemory', {}, { resources: { memory: '8Gi' } }).action, 'fail');
  });

  test('memory only grows, and never above the largest amount', () => {
    const mebibytes = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(mebibytes, mebibytes, fc.integer({ min: 1, max: 300 }), (start, max, percent) => {
        const rule: RetryPolicy = { outOfMemory: { memory: `x${percent / 100}`, max: `${max}Mi` } };
        let state: RetryState = FIRST_ATTEMPT;
        let bytes = start * 2 ** 20;
        for (;;) {
          const decision = decideRetry(
            rule,
            { memory: `${start}Mi` },
            { outcome: { code: 'OutOfMemory' }, state },
          );
          if (decision.action === 'fail') return;
          ({ state } = decision);
          const next = parseBytes(state.memory ?? '');
          assert.ok(next > bytes && next <= max * 2 ** 20, `${bytes} became ${next}`);
          bytes = next;
          if (state.attempt > 1_000) return;
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('the delay of a step', () => {
  const amount = fc.integer({ min: 0, max: 7_200 });
  test('grows by its factor up to its limit, which is an hour or the delay itself where none is given', () => {
    fc.assert(
      fc.property(
        amount,
        fc.option(amount, { nil: undefined }),
        fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
        fc.integer({ min: 0, max: 6 }),
        (delay, maxDelay, backoff, userFailures) => {
          const policy: RetryPolicy = {
            attempts: 99,
            delay: `${delay}s`,
            ...(maxDelay === undefined ? {} : { maxDelay: `${maxDelay}s` }),
            ...(backoff === undefined ? {} : { backoff }),
          };
          const decision = decide('StepFailed', policy, { state: { userFailures } });
          const limit = maxDelay ?? Math.max(delay, 3_600);
          const grown = delay * (backoff ?? 1) ** userFailures;
          assert.equal(decision.action === 'retry' && decision.delayMs, Math.min(grown, limit) * 1_000);
        },
      ),
    );
  });
});

describe('any failures, in any order', () => {
  test('end: attempts are at most the budgets together', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom(...codes), { minLength: 60, maxLength: 60 }),
        (attempts, failures) => {
          let state: RetryState = FIRST_ATTEMPT;
          for (const code of failures) {
            const decision = decideRetry({ attempts }, {}, { outcome: { code }, state });
            if (decision.action === 'fail') return;
            assert.equal(decision.state.attempt, state.attempt + 1);
            assert.ok(decision.delayMs >= 0 && decision.delayMs <= 120_000);
            ({ state } = decision);
          }
          assert.fail('60 failures were retried');
        },
      ),
    );
    assert.equal(INFRASTRUCTURE_RETRIES, 5);
  });
});
