import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubernetesExecutorDeps } from '../../src/adapters/kubernetes/executor-deps.js';
import { CONTAINERS } from '../../src/adapters/kubernetes/labels.js';
import { createPodsSeen } from '../../src/adapters/kubernetes/pods-seen.js';
import { readLastLines } from '../../src/adapters/kubernetes/read-last-lines.js';

type Asked = Parameters<typeof readLastLines>;

test('the last words of a pod that left no outcome are not lost behind a progress bar', async () => {
  const bar = Array.from({ length: 2_000 }, (_, n) => `\repoch 1: ${n}/2000 [=====>      ]`).join('');
  const log = Buffer.from(`begin\n${bar}\nTraceback\nRuntimeError: the reason\n`);
  const pods = createPodsSeen();
  pods.update({
    pods: [
      {
        metadata: { name: 'train-a1-x', uid: 'u' },
        status: {
          containerStatuses: [
            {
              ...{ name: CONTAINERS.main, image: '', imageID: '', ready: false, restartCount: 0 },
              state: { terminated: { exitCode: 137 } },
            },
          ],
        },
      },
    ],
  });
  const deps = {
    api: {
      // As the kubelet does it: the last lines, and of these the first bytes.
      readPodLog: async (
        _pod: string,
        _container: string,
        options: { tailLines: number; limitBytes: number },
      ) => {
        const tail = log.toString().trimEnd().split('\n').slice(-options.tailLines).join('\n');
        return await Promise.resolve(Buffer.from(tail).subarray(0, options.limitBytes).toString());
      },
    },
  } as Partial<KubernetesExecutorDeps> as KubernetesExecutorDeps;
  const end = { pods } as Partial<Asked[1]['end']> as Asked[1]['end'];
  const lines = await readLastLines(deps, { launch: {} as Asked[1]['launch'], end });
  assert.deepEqual(lines, [
    'begin',
    'epoch 1: 1999/2000 [=====>      ]',
    'Traceback',
    'RuntimeError: the reason',
  ]);
});
