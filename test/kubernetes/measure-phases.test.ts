import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { measurePhases } from '../../src/adapters/kubernetes/measure-phases.js';

const at = (seconds: number) => new Date(1_790_000_000_000 + seconds * 1_000);
const job = { metadata: { creationTimestamp: at(0) } };
const status = (name: string, state: object) => ({
  name,
  image: '',
  imageID: '',
  ready: true,
  restartCount: 0,
  state,
});

/** A pod by the seconds at which it was scheduled, fetched from and to, and ran from and to. */
function aPod(
  scheduled?: number,
  fetch?: readonly [number, number],
  main?: readonly [number, number?],
): V1Pod {
  return {
    status: {
      ...(scheduled !== undefined && {
        conditions: [{ type: 'PodScheduled', status: 'True', lastTransitionTime: at(scheduled) }],
      }),
      initContainerStatuses: fetch
        ? [
            status('fetch', {
              terminated: { exitCode: 0, startedAt: at(fetch[0]), finishedAt: at(fetch[1]) },
            }),
          ]
        : [],
      containerStatuses: main
        ? [
            status(
              'main',
              main[1] === undefined
                ? { running: { startedAt: at(main[0]) } }
                : { terminated: { exitCode: 0, startedAt: at(main[0]), finishedAt: at(main[1]) } },
            ),
          ]
        : [],
    },
  };
}

const measure = (pods: readonly V1Pod[], endedAt: number, commandEndedAt?: number) =>
  measurePhases({
    job,
    pods,
    commandEndedAtMs: commandEndedAt === undefined ? undefined : at(commandEndedAt).getTime(),
    endedAtMs: at(endedAt).getTime(),
  });

describe('the phases of an attempt that has ended', () => {
  test('are what its node wrote down; images are pulled before it is fetched and after', () => {
    assert.deepEqual(measure([aPod(3, [5, 6], [16, 80])], 81, 70), {
      queuedMs: 3_000,
      pullingMs: 12_000,
      preparingMs: 1_000,
      runningMs: 54_000,
      uploadingMs: 10_000,
    });
  });

  test('leave out what there was not', () => {
    assert.deepEqual(measure([], 60), { queuedMs: 60_000 });
    assert.deepEqual(measure([aPod(3)], 60), { queuedMs: 3_000, pullingMs: 57_000 });
    assert.deepEqual(measure([aPod(3, [5, 6], [7])], 60), {
      queuedMs: 3_000,
      pullingMs: 3_000,
      preparingMs: 1_000,
      runningMs: 53_000,
    });
  });

  test('are those of all pods: one that lost its place was queued again', () => {
    const { queuedMs, runningMs } = measure([aPod(3, [3, 3], [3, 13]), aPod(20, [20, 20], [20, 25])], 25);
    assert.deepEqual([queuedMs, runningMs], [10_000, 15_000]);
  });

  test('never go back in time, though clocks differ', () => {
    const phases = measure([aPod(-2, [-1, 4], [3, 5])], 4, 1);
    assert.ok(Object.values(phases).every((ms: number) => ms >= 0));
  });
});
