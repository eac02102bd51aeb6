import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { diagnose } from '../../src/adapters/kubernetes/diagnosis/diagnose.js';
import type { KueueWorkload } from '../../src/adapters/kubernetes/diagnosis/kueue-workload.js';
import type { FailureCode } from '../../src/core/failures.js';
import { aJob, withKubernetes } from './kubernetes-world.js';

const T0 = Date.parse('2026-11-23T12:00:00Z');
const at = (seconds: number) => new Date(T0 + seconds * 1_000);

/** A Workload with these conditions: status, reason and message of each. */
function workload(
  conditions: { readonly [type: string]: readonly [status: string, reason: string, message: string] },
  active = true,
): KueueWorkload {
  return {
    metadata: { creationTimestamp: at(0) },
    spec: { active },
    status: {
      conditions: Object.entries(conditions).map(([type, [status, reason, message]]) => ({
        type,
        status,
        reason,
        message,
        lastTransitionTime: at(20),
      })),
    },
  };
}

const job: V1Job = {
  metadata: { uid: 'job-1', creationTimestamp: at(0), labels: { 'kueue.x-k8s.io/queue-name': 'gpus' } },
  spec: { suspend: true, template: {} },
};

const cases: readonly (readonly [
  what: string,
  workloads: readonly KueueWorkload[],
  seconds: number,
  detail: RegExp,
  limit: readonly [FailureCode, number],
])[] = [
  ['has said nothing yet', [], 1, /^waits in Kueue's queue "gpus"$/, ['PendingTooLong', 3_600]],
  [
    'says what is lacking',
    [
      workload({
        QuotaReserved: ['False', 'Pending', "couldn't assign flavors to pod set main: 1 more needed"],
      }),
    ],
    1,
    /^waits in Kueue's queue "gpus": couldn't assign flavors to pod set main: 1 more needed$/,
    ['PendingTooLong', 3_600],
  ],
  [
    'took the place away, and says what is lacking now',
    [
      workload({
        Evicted: ['True', 'Preempted', 'Preempted to accommodate a workload (UID: b)'],
        QuotaReserved: ['False', 'Pending', '1 more needed'],
      }),
    ],
    30,
    /^requeued by Kueue in queue "gpus": Preempted to accommodate a workload \(UID: b\); 1 more needed$/,
    ['PendingTooLong', 3_620],
  ],
  [
    'knows no such queue',
    [workload({ QuotaReserved: ['False', 'Inadmissible', "LocalQueue gpus doesn't exist"] })],
    30,
    /^waits in Kueue's queue "gpus": LocalQueue gpus doesn't exist$/,
    ['PodRefused', 60],
  ],
  [
    'knows no such queue any more',
    [workload({ QuotaReserved: ['False', 'Misconfigured', "LocalQueue gpus doesn't exist"] })],
    600,
    /LocalQueue gpus doesn't exist$/,
    ['PendingTooLong', 3_600],
  ],
  [
    'was told to leave it alone',
    [workload({ Evicted: ['True', 'Deactivated', 'The workload is deactivated'] }, false)],
    30,
    /^waits in Kueue's queue "gpus": deactivated: The workload is deactivated$/,
    ['PendingTooLong', 3_600],
  ],
];

describe('a Job in a queue, of which Kueue', () => {
  for (const [what, workloads, seconds, detail, limit] of cases)
    test(what, () => {
      const found = diagnose({
        ...{ step: 'train', pool: 'gpu', job, pods: [], gone: new Set<string>(), events: [], workloads },
        ...{ maxPendingMs: 3_600_000, nowMs: T0 + seconds * 1_000 },
      });
      assert.ok(found.state === 'active');
      assert.equal(found.phase, 'queued');
      assert.match(found.detail ?? '', detail);
      assert.deepEqual(found.limit && [found.limit.failure.code, (found.limit.atMs - T0) / 1_000], limit);
    });

  test('let it go a moment ago goes on: its next pod is not there yet, and its waiting begins anew', () => {
    const pods: V1Pod[] = [
      {
        metadata: { uid: 'pod-1', creationTimestamp: at(100), deletionTimestamp: at(5_000) },
        status: { phase: 'Running' },
      },
    ];
    const resumed = (status: string): V1Job => ({
      ...job,
      spec: { suspend: false, template: {} },
      status: { conditions: [{ type: 'Suspended', status, lastTransitionTime: at(4_990) }] },
    });
    const look = (seenJob: V1Job) =>
      diagnose({
        ...{ step: 'train', pool: 'gpu', job: seenJob, pods, gone: new Set(['pod-1']), events: [] },
        ...{ maxPendingMs: 3_600_000, nowMs: T0 + 6_000_000 },
      });
    const found = look(resumed('True'));
    assert.ok(found.state === 'active', JSON.stringify(found));
    assert.equal(found.limit?.atMs, T0 + 5_000_000 + 3_600_000);
    const taken = look(resumed('False'));
    assert.equal(taken.state === 'ended' && taken.failure.code, 'PodDeleted');
  });

  test('is seen in the older version of its API, and not at all by an account that may not', async (t) => {
    const { api, server } = await withKubernetes(t);
    const uid = (await api.createJob(aJob('train-a1'))).metadata?.uid ?? '';
    assert.deepEqual(await api.listWorkloads({ jobUid: uid }), []);
    assert.ok(
      server.requests.some(
        ({ path, query }) =>
          path.includes('/v1beta2/') && query.get('labelSelector') === `kueue.x-k8s.io/job-uid=${uid}`,
      ),
    );
    server.fail({ resource: 'workloads', answer: { status: 404 } });
    assert.deepEqual(await api.listWorkloads({ jobUid: uid }), []);
    assert.match(server.requests.at(-1)?.path ?? '', /v1beta1/);
    server.fail({ resource: 'workloads', times: 2, answer: { status: 403 } });
    assert.deepEqual(await api.listWorkloads({ jobUid: uid }), []);
  });
});
