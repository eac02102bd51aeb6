import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { V1ContainerStateTerminated, V1Pod } from '@kubernetes/client-node';
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
