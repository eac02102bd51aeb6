import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { V1ContainerStateTerminated, V1Pod } from '@kubernetes/client-node';
import { diagnoseAgent } from '../../src/adapters/kubernetes/diagnosis/diagnose-agent.js';
import { diagnoseEnd } from '../../src/adapters/kubernetes/diagnosis/diagnose-end.js';
import type { FailureCode } from '../../src/core/failures.js';

const BROKE_OFF = `file:///opt/anneal/pod-fetch.js:1
x();
^

TypeError: x is not a function
    at file:///opt/anneal/pod-fetch.js:1:1

Node.js v22.1.0
`;

const status = (name: string, terminated: V1ContainerStateTerminated) => ({
  name,
  image: 'x',
  imageID: '',
  ready: false,
  restartCount: 0,
  state: { terminated },
});

function podOf(ours: { readonly [name: string]: V1ContainerStateTerminated }, exitCode?: number): V1Pod {
  return {
    status: {
      phase: 'Failed',
      initContainerStatuses: Object.entries(ours).map(([name, ended]) => status(name, ended)),
      ...(exitCode !== undefined && {
        containerStatuses: [status('main', { exitCode, message: 'epoch 10 loss 0.3' })],
      }),
    },
  };
}

const CASES: readonly (readonly [string, V1Pod, FailureCode, RegExp])[] = [
  [
    'its fetch says with which code',
    podOf({ fetch: { exitCode: 1, message: 'CodeMissing: Step "train": its code is not there.' } }),
    'CodeMissing',
    /^Step "train": its code is not there\.$/,
  ],
  [
    'its fetch broke off by a fault of its own',
    podOf({ fetch: { exitCode: 1, message: BROKE_OFF } }),
    'InvalidConfig',
    /program in container "fetch" of its pod broke off \(TypeError: x is not a function\).*kubernetes\.image/,
  ],
  [
    'a connection broke off its agent',
    podOf({
      fetch: { exitCode: 0 },
      agent: { exitCode: 1, message: 'TypeError: fetch failed\n\nNode.js v22.1.0' },
    }),
    'AttemptLost',
    /agent of its pod ended before the step began/,
  ],
  [
    'the image of ours lacks the agent',
    podOf({
      fetch: { exitCode: 0 },
      agent: {
        exitCode: 1,
        message: "Error: Cannot find module '/opt/anneal/pod-agent.js'\n    at x\n\nNode.js v22.1.0\n",
      },
    }),
    'InvalidConfig',
    /Cannot find module '\/opt\/anneal\/pod-agent\.js'\).*kubernetes\.image/,
  ],
  [
    'its outputs could not be stored, of which the agent knows why',
    podOf(
      {
        fetch: { exitCode: 0 },
        agent: {
          exitCode: 0,
          message: 'Step "train": its outputs could not be stored: The store does not answer.',
        },
      },
      97,
    ),
    'UploadFailed',
    /^Its outputs could not be stored: The store does not answer\.$/,
  ],
];

describe('a pod of which the store knows nothing', () => {
  for (const [what, pod, code, message] of CASES)
    test(`${what}: ${code}`, () => {
      const failure = diagnoseEnd(pod, { pool: 'gpu' });
      assert.equal(failure.code, code, failure.message);
      assert.match(failure.message, message);
    });
});

describe('an agent that ended while its step runs', () => {
  const finishedAt = new Date('2026-11-23T12:00:00Z');
  const podWith = (state: object, message?: string): V1Pod => ({
    status: {
      initContainerStatuses: [
        {
          ...{ name: 'agent', image: 'anneal:1', imageID: '', ready: false, restartCount: 1, state },
          lastState: { terminated: { exitCode: 1, finishedAt, ...(message !== undefined && { message }) } },
        },
      ],
    },
  });
  const waiting = (reason: string) => ({ waiting: { reason, message: 'not found' } });

  test('is shown with the image that is gone, and is lost four minutes after its end', () => {
    const { detail, limit } = diagnoseAgent(podWith(waiting('ImagePullBackOff')), 0);
    assert.match(detail ?? '', /to be started again: ImagePullBackOff image anneal:1 \(not found\)$/);
    assert.deepEqual([limit?.failure.code, limit?.atMs], ['AttemptLost', finishedAt.getTime() + 240_000]);
  });

  test('is of another version where it breaks off by a fault of its own', () => {
    const { limit } = diagnoseAgent(podWith(waiting('CrashLoopBackOff'), BROKE_OFF), 0);
    assert.equal(limit?.failure.code, 'InvalidConfig');
  });

  test('is no matter when it runs again', () => {
    assert.deepEqual(diagnoseAgent(podWith({ running: { startedAt: finishedAt } }), 0), {});
  });
});
