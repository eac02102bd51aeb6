import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { awaitCache } from '../../src/activities/await-cache.js';
import { settleSlot } from '../../src/activities/settle-slot.js';
import type { StepCache } from '../../src/activities/step-cache.js';
import type { CacheAnswer, CacheQuery } from '../../src/core/claims.js';
import { buildRequest, buildSucceeded, createFakeClock } from '../tracking/fixtures.js';

const query: CacheQuery = {
  key: 'k',
  material: { step: 'train', code: '', env: {}, outputs: {}, command: [], parameters: {}, inputs: {} },
  pipeline: 'p',
  callId: 'c',
  attempt: 1,
};
const busy = (runId: string): CacheAnswer => ({ kind: 'busy', generation: 1, runId });
const claimed: CacheAnswer = { kind: 'claimed', generation: 2 };

/** Waits for run "one" with a cache that gives these answers, the last one for ever. */
async function waitWith(
  answers: readonly CacheAnswer[],
  { waitMs = 1e9, signal = new AbortController().signal } = {},
) {
  const clock = createFakeClock(0);
  const forced: boolean[] = [];
  const cache: StepCache = {
    ask: (_query, _asker, options) => {
      forced.push(options?.force === true);
      if (options?.force === true) return Promise.resolve(claimed);
      return Promise.resolve(answers[Math.min(forced.length, answers.length) - 1] ?? claimed);
    },
    store: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const asker = { runId: 'two', epoch: 'e' };
  const wait = { query, asker, untilMs: waitMs, runId: 'one' };
  const answer = await awaitCache({ cache, clock }, wait, signal);
  return { answer, forced, tookMs: clock.nowMs() };
}

describe('a wait for the result of another call', () => {
  test('ends with whatever is no longer "wait for that run"', async () => {
    assert.deepEqual((await waitWith([busy('one'), busy('one'), claimed])).answer, claimed);
    assert.deepEqual((await waitWith([busy('one'), busy('three')])).answer, busy('three'));
  });

  test('takes the claim when its time is over, and not before', async () => {
    const { answer, forced, tookMs } = await waitWith([busy('one')], { waitMs: 5_000 });
    assert.deepEqual(answer, claimed);
    assert.deepEqual(forced.indexOf(true), forced.length - 1);
    assert.equal(tookMs, 5_000);
  });

  test('gives its slot to others after a while, to be called again without a word in the history', async () => {
    await assert.rejects(waitWith([busy('one')]), { type: 'StillWaiting', nonRetryable: false });
  });

  test('is ended by a cancel', async () => {
    await assert.rejects(waitWith([busy('one')], { signal: AbortSignal.abort(new Error('CANCELLED')) }), {
      message: 'CANCELLED',
    });
  });
});

describe('the end of an attempt', () => {
  const settled = async (slot: Parameters<typeof settleSlot>[1]['slot'], failing = false, fail = false) => {
    const done: string[] = [];
    const note = (what: string) =>
      failing ? Promise.reject(new Error('gone')) : Promise.resolve(void done.push(what));
    const cache: StepCache = {
      ask: () => Promise.reject(new Error('not asked')),
      store: ({ step, key, generation }) => note(`store ${step} ${key} ${generation}`),
      close: ({ generation }, reason) => note(`close ${generation}: ${reason}`),
    };
    const outcome = fail
      ? {
          kind: 'failed',
          attemptName: 'a',
          code: 'StepFailed',
          message: '',
          logTail: [],
          startedAtMs: 0,
          endedAtMs: 1,
        }
      : buildSucceeded({});
    await settleSlot(cache, { slot, request: buildRequest(), runId: 'one', outcome } as Parameters<
      typeof settleSlot
    >[1]);
    return done;
  };

  test('puts a result under its claim, and closes the claim of a failure', async () => {
    assert.deepEqual(await settled({ key: 'k', generation: 3 }), ['store train k 3']);
    assert.deepEqual(await settled({ key: 'k', generation: 3 }, false, true), [
      'close 3: an attempt of run one failed: StepFailed',
    ]);
  });

  test('is not held up by a store that refuses, nor by a run of an older build', async () => {
    assert.deepEqual(await settled({ key: 'k', generation: 3 }, true), []);
    assert.deepEqual(await settled(undefined), []);
  });
});
