import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CoreV1Event, V1Job, V1Pod } from '@kubernetes/client-node';
import type { SeenAttempt } from '../../src/adapters/kubernetes/diagnosis/diagnosis.js';
import { diagnose } from '../../src/adapters/kubernetes/diagnosis/diagnose.js';
import type { FailureCode } from '../../src/core/failures.js';

const T0 = Date.parse('2026-11-23T12:00:00Z');
const at = (seconds: number) => new Date(T0 + seconds * 1_000);

interface Container {
  readonly waiting?: { reason: string; message?: string };
  readonly running?: boolean;
  readonly terminated?: { exitCode: number; reason?: string; message?: string };
  readonly lastState?: { exitCode: number; reason?: string; message?: string };
}

/** What the node controller makes of a pod whose node is silent. */
const SILENT = [
  { type: 'ContainersReady', status: 'True' },
  { type: 'Ready', status: 'False' },
];

interface PodShape {
  readonly phase?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly fetch?: Container;
  readonly agent?: Container;
  readonly main?: Container;
  readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[];
  readonly deletedAt?: number;
  readonly unscheduled?: boolean;
}

const status = (name: string, { waiting, running, terminated, lastState }: Container) => ({
  name,
  image: `${name}:1`,
  imageID: '',
  ready: false,
  restartCount: 0,
  state: {
    ...(waiting && { waiting }),
    ...(running && { running: { startedAt: at(20) } }),
    ...(terminated && { terminated: { startedAt: at(20), finishedAt: at(30), ...terminated } }),
  },
  ...(lastState && { lastState: { terminated: { finishedAt: at(40), ...lastState } } }),
});

function pod(shape: PodShape, uid = 'pod-1'): V1Pod {
  const { fetch, agent, main, conditions = [], deletedAt, unscheduled = false } = shape;
  return {
    metadata: {
      uid,
      creationTimestamp: at(0),
      ...(deletedAt !== undefined && { deletionTimestamp: at(deletedAt) }),
    },
    spec: {
      ...(!unscheduled && { nodeName: 'node-7' }),
      containers: [{ name: 'main', resources: { limits: { memory: '8Gi' } } }],
    },
    status: {
      phase: shape.phase ?? 'Pending',
      ...(shape.reason !== undefined && { reason: shape.reason }),
      ...(shape.message !== undefined && { message: shape.message }),
      conditions: [
        ...(unscheduled ? [] : [{ type: 'PodScheduled', status: 'True', lastTransitionTime: at(1) }]),
        ...conditions,
      ],
      initContainerStatuses: [
        ...(fetch ? [status('fetch', fetch)] : []),
        ...(agent ? [status('agent', agent)] : []),
      ],
      containerStatuses: main ? [status('main', main)] : [],
    },
  };
}

const job = (more: Partial<V1Job> = {}): V1Job => ({
  metadata: { name: 'job', uid: 'job-1', creationTimestamp: at(0) },
  ...more,
});
const failedJob = job({
  status: { failed: 1, conditions: [{ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded' }] },
});
const event = (reason: string, message: string): CoreV1Event => ({
  reason,
  message,
  metadata: {},
  involvedObject: {},
});

const seen = (more: Partial<SeenAttempt>): SeenAttempt => ({
  step: 'train',
  pool: 'gpu',
  job: job(),
  pods: [],
  gone: new Set(),
  events: [],
  maxPendingMs: 3_600_000,
  nowMs: T0 + 60_000,
  ...more,
});
const withPod = (shape: PodShape, more: Partial<SeenAttempt> = {}) => seen({ pods: [pod(shape)], ...more });

const failed = (main: Container['terminated'] & object, shape: PodShape = {}) =>
  withPod({
    phase: main.exitCode === 0 ? 'Succeeded' : 'Failed',
    fetch: { terminated: { exitCode: 0 } },
    agent: { terminated: { exitCode: 0 } },
    main: { terminated: main },
    ...shape,
  });
const disrupted = (reason: string, message = 'said the cluster') => ({
  conditions: [{ type: 'DisruptionTarget', status: 'True', reason, message }],
});

describe('an attempt that has ended on Kubernetes', () => {
  for (const [what, attempt, code, message] of [
    [
      'with an exit code',
      failed({ exitCode: 3, message: 'reading\nno such column' }),
      'StepFailed',
      /^It ended with exit code 3: no such column\.$/,
    ],
    ['with an exit code that means bad input', failed({ exitCode: 65 }), 'StepRefused', /exit code 65/],
    [
      'out of memory',
      failed({ exitCode: 137, reason: 'OOMKilled' }),
      'OutOfMemory',
      /limit 8Gi, exit code 137\)\. Raise resources\.memory/,
    ],
    [
      'out of memory with exit code 0',
      failed({ exitCode: 0, reason: 'OOMKilled' }),
      'OutOfMemory',
      /exit code 0/,
    ],
    [
      'by a SIGKILL of nobody',
      failed({ exitCode: 137, reason: 'Error' }),
      'AttemptKilled',
      /SIGKILL, which Anneal did not send/,
    ],
    ['by a SIGTERM of nobody', failed({ exitCode: 143 }), 'AttemptKilled', /SIGTERM/],
    [
      'by a SIGTERM of a deletion',
      failed({ exitCode: 143 }, { deletedAt: 40 }),
      'PodDeleted',
      /not by Anneal/,
    ],
    ['without its uploads', failed({ exitCode: 97 }), 'UploadFailed', /could not be stored/],
    ['well, and without a manifest', failed({ exitCode: 0 }), 'AttemptLost', /no manifest/],
    [
      'with a command that the image lacks',
      failed({ exitCode: 128, reason: 'StartError', message: 'exec: "/no/such": not found' }),
      'ContainerStartFailed',
      /"main" could not be started: exec: "\/no\/such"/,
    ],
    [
      'with a status that is unknown',
      failed({ exitCode: 137, reason: 'ContainerStatusUnknown' }),
      'NodeLost',
      /node-7 lost the container/,
    ],
    [
      'as its deadline passed',
      failed({ exitCode: 143 }, { reason: 'DeadlineExceeded' }),
      'StepTimedOut',
      /deadline/,
    ],
    [
      'evicted',
      failed(
        { exitCode: 137 },
        {
          reason: 'Evicted',
          message: 'The node was low on resource: memory.',
          ...disrupted('TerminationByKubelet'),
        },
      ),
      'Evicted',
      /node-7 ran short and evicted the pod: The node was low on resource: memory\.$/,
    ],
    [
      'evicted for its own disk',
      failed(
        { exitCode: 137 },
        {
          reason: 'Evicted',
          message: 'Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.',
        },
      ),
      'StorageExceeded',
      /Raise resources\.ephemeralStorage/,
    ],
    [
      'evicted for its own volume',
      failed(
        { exitCode: 137 },
        { reason: 'Evicted', message: 'Usage of EmptyDir volume "shm" exceeds the limit "1Gi".' },
      ),
      'StorageExceeded',
      /EmptyDir volume "shm"/,
    ],
    [
      'preempted',
      failed({ exitCode: 143 }, disrupted('PreemptionByScheduler')),
      'Preempted',
      /higher priority/,
    ],
    ['drained', failed({ exitCode: 143 }, disrupted('EvictionByEvictionAPI')), 'Evicted', /drained/],
    [
      'tainted',
      failed({ exitCode: 143 }, disrupted('DeletionByTaintManager')),
      'NodeLost',
      /lost or tainted/,
    ],
    [
      'with its node removed',
      failed({ exitCode: 137 }, disrupted('DeletionByPodGC')),
      'NodeLost',
      /lost or tainted/,
    ],
    [
      'with its node shut down',
      failed(
        { exitCode: 143 },
        { reason: 'Terminated', message: 'Pod was terminated in response to imminent node shutdown.' },
      ),
      'NodeLost',
      /shut down \(Terminated\)/,
    ],
    [
      'not admitted by its node',
      withPod({ phase: 'Failed', reason: 'UnexpectedAdmissionError', message: 'no devices' }),
      'Evicted',
      /did not admit the pod \(UnexpectedAdmissionError\): no devices/,
    ],
    [
      'not admitted for its GPUs',
      withPod({ phase: 'Failed', reason: 'OutOfnvidia.com/gpu' }),
      'Evicted',
      /did not admit/,
    ],
    [
      'in its preparation',
      withPod({ phase: 'Failed', fetch: { terminated: { exitCode: 1, message: 'the store refuses' } } }),
      'AttemptLost',
      /could not be prepared \(container fetch, exit code 1\): the store refuses/,
    ],
    [
      'out of memory in its preparation',
      withPod({ phase: 'Failed', fetch: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }),
      'AttemptLost',
      /exit code 137, OOMKilled/,
    ],
    [
      'before any container',
      withPod({ phase: 'Failed' }),
      'AttemptLost',
      /no container of it was ever started/,
    ],
    [
      'with its pod deleted',
      seen({
        job: failedJob,
        pods: [pod({ phase: 'Running', main: { running: true } })],
        gone: new Set(['pod-1']),
      }),
      'PodDeleted',
      /not by Anneal/,
    ],
    [
      'with its pod preempted and gone',
      seen({
        job: failedJob,
        pods: [pod({ phase: 'Running', main: { running: true }, ...disrupted('PreemptionByScheduler') })],
        gone: new Set(['pod-1']),
      }),
      'Preempted',
      /higher priority/,
    ],
    ['with its pod gone before it was seen', seen({ job: failedJob }), 'PodDeleted', /deleted/],
    [
      'with its Job deleted',
      (({ job: _job, ...rest }) => rest)(seen({})),
      'PodDeleted',
      /Its Job was deleted/,
    ],
    [
      'with a wrong image name',
      withPod({
        fetch: { terminated: { exitCode: 0 } },
        main: { waiting: { reason: 'InvalidImageName', message: 'couldn’t parse' } },
      }),
      'ImagePullFailed',
      /image: of the step/,
    ],
    [
      'with an image that is never pulled',
      withPod({ fetch: { waiting: { reason: 'ErrImageNeverPull' } } }),
      'ImagePullFailed',
      /kubernetes\.image in anneal\.yaml/,
    ],
    [
      'refused by Pod Security',
      seen({
        events: [
          event(
            'FailedCreate',
            'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
          ),
        ],
      }),
      'PodRefused',
      /violates PodSecurity/,
    ],
    [
      'refused by a webhook',
      seen({ events: [event('FailedCreate', 'admission webhook "x" denied the request: no')] }),
      'PodRefused',
      /denied the request: no/,
    ],
  ] as readonly (readonly [string, SeenAttempt, FailureCode, RegExp])[])
    test(`ended ${what}: ${code}`, () => {
      const found = diagnose(attempt);
      assert.equal(found.state, 'ended', JSON.stringify(found));
      if (found.state !== 'ended') return;
      assert.equal(found.failure.code, code, found.failure.message);
      assert.match(found.failure.message, message);
    });
});

describe('an attempt that waits or runs on Kubernetes', () => {
  const suspended = job({
    spec: { suspend: true, template: {} },
    metadata: { uid: 'job-1', creationTimestamp: at(0), labels: { 'kueue.x-k8s.io/queue-name': 'gpus' } },
  });
  const fetched = { terminated: { exitCode: 0 } };
  const up = { running: true };
  for (const [what, attempt, phase, detail, limit] of [
    ['has no pod yet', seen({}), 'queued', undefined, ['PendingTooLong', 3_600]],
    [
      'is held by a quota',
      seen({
        events: [event('FailedCreate', 'pods "x" is forbidden: exceeded quota: team, requested: cpu=4')],
      }),
      'queued',
      /^quota: exceeded quota: team/,
      ['PendingTooLong', 3_600],
    ],
    [
      'has no service account yet',
      seen({
        events: [event('FailedCreate', 'error looking up service account a/b: serviceaccount "b" not found')],
      }),
      'queued',
      /serviceaccount "b" not found/,
      ['PodRefused', 60],
    ],
    [
      'waits for Kueue',
      seen({ job: suspended }),
      'queued',
      /^waits in Kueue's queue "gpus"/,
      ['PendingTooLong', 3_600],
    ],
    [
      'was requeued by Kueue',
      seen({
        job: suspended,
        pods: [pod({ phase: 'Failed', main: { terminated: { exitCode: 143 } } })],
        events: [event('Stopped', 'Preempted to accommodate a workload')],
      }),
      'queued',
      /^requeued by Kueue in queue "gpus": Preempted to accommodate/,
      ['PendingTooLong', 3_600],
    ],
    [
      'finds no node',
      withPod({
        unscheduled: true,
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.',
          },
        ],
      }),
      'queued',
      /^0\/1 nodes are available: 1 Insufficient nvidia\.com\/gpu$/,
      ['PendingTooLong', 3_600],
    ],
    [
      'is gated',
      withPod({
        unscheduled: true,
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'SchedulingGated',
            message: 'Scheduling is blocked due to non-empty scheduling gates',
          },
        ],
      }),
      'queued',
      /gates/,
      ['PendingTooLong', 3_600],
    ],
    [
      'pulls its first image',
      withPod({ fetch: { waiting: { reason: 'PodInitializing' } } }),
      'pulling',
      undefined,
      ['PendingTooLong', 3_601],
    ],
    [
      'cannot pull its image',
      withPod({
        fetch: fetched,
        agent: { running: true },
        main: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "x": not found' } },
      }),
      'pulling',
      /not found/,
      ['ImagePullFailed', 270],
    ],
    [
      'is limited by a registry',
      withPod({ fetch: { waiting: { reason: 'ErrImagePull', message: 'toomanyrequests: rate limit' } } }),
      'pulling',
      /toomanyrequests/,
      ['RegistryUnavailable', 241],
    ],
    [
      'lacks a config map',
      withPod({
        fetch: fetched,
        main: { waiting: { reason: 'CreateContainerConfigError', message: 'configmap "missing" not found' } },
      }),
      'pulling',
      /configmap/,
      ['PodRefused', 90],
    ],
    [
      'lacks a secret',
      withPod({
        fetch: fetched,
        main: { waiting: { reason: 'CreateContainerConfigError', message: 'secret "db" not found' } },
      }),
      'pulling',
      /secret/,
      ['SecretMissing', 90],
    ],
    [
      'cannot be created',
      withPod({
        fetch: fetched,
        main: { waiting: { reason: 'CreateContainerError', message: 'no command' } },
      }),
      'pulling',
      /no command/,
      ['ContainerStartFailed', 210],
    ],
    ['fetches', withPod({ fetch: { running: true } }), 'preparing', undefined, undefined],
    ['waits for its agent', withPod({ fetch: fetched }), 'preparing', undefined, ['PendingTooLong', 3_630]],
    [
      'pulls its image',
      withPod({ fetch: fetched, agent: up }),
      'pulling',
      undefined,
      ['PendingTooLong', 3_630],
    ],
    [
      'has an agent that keeps ending',
      withPod({
        fetch: fetched,
        agent: {
          waiting: { reason: 'CrashLoopBackOff', message: 'back-off' },
          lastState: { exitCode: 1, message: 'no store' },
        },
      }),
      'preparing',
      /back-off/,
      ['AttemptLost', 210],
    ],
    [
      'mounts a volume',
      withPod(
        { fetch: { waiting: { reason: 'PodInitializing' } } },
        { events: [event('FailedMount', 'claim "x" not found')] },
      ),
      'pulling',
      /claim "x" not found/,
      ['PendingTooLong', 3_601],
    ],
    ['runs', withPod({ phase: 'Running', main: { running: true } }), 'running', undefined, undefined],
    [
      'runs, and its agent was killed',
      withPod({
        phase: 'Running',
        agent: {
          waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s restarting failed container' },
          lastState: { exitCode: 137, reason: 'OOMKilled' },
        },
        main: { running: true },
      }),
      'running',
      /^its agent has ended \(exit code 137, OOMKilled\) and is to be started again: CrashLoopBackOff \(back-off 10s/,
      ['AttemptLost', 280],
    ],
    [
      'runs on a node that is away',
      withPod({ phase: 'Running', main: { running: true }, conditions: SILENT }),
      'running',
      /node-7 has stopped answering/,
      undefined,
    ],
    [
      'has ended in main',
      withPod({ phase: 'Running', main: { terminated: { exitCode: 0 } } }),
      'uploading',
      undefined,
      ['AttemptLost', 210],
    ],
    [
      'is deleted by somebody',
      withPod({ phase: 'Running', main: { running: true }, deletedAt: 50 }),
      'running',
      /being deleted/,
      ['NodeLost', 170],
    ],
    [
      'has to make room in its queue',
      withPod({ phase: 'Running', main: { running: true }, deletedAt: 50 }, { job: suspended }),
      'running',
      /^being ended: Kueue takes its place in queue "gpus" from it$/,
      ['NodeLost', 170],
    ],
    [
      'is deleted on a node that is away',
      withPod({
        phase: 'Running',
        main: { running: true },
        deletedAt: 50,
        conditions: SILENT,
      }),
      'running',
      /does not answer/,
      ['NodeLost', 55],
    ],
    [
      'gets another pod',
      seen({
        job: job({ status: { active: 1 } }),
        pods: [pod({ phase: 'Running' })],
        gone: new Set(['pod-1']),
      }),
      'queued',
      undefined,
      ['PendingTooLong', 3_600],
    ],
    [
      'has a second pod',
      seen({ pods: [pod({ phase: 'Failed' }), pod({ phase: 'Running', main: { running: true } }, 'pod-2')] }),
      'running',
      undefined,
      undefined,
    ],
  ] as readonly (readonly [
    string,
    SeenAttempt,
    string,
    RegExp | undefined,
    readonly [FailureCode, number] | undefined,
  ])[])
    test(what, () => {
      const found = diagnose(attempt);
      assert.equal(found.state, 'active', JSON.stringify(found));
      if (found.state !== 'active') return;
      assert.equal(found.phase, phase);
      if (detail === undefined) assert.equal(found.detail, undefined);
      else assert.match(found.detail ?? '', detail);
      assert.deepEqual(found.limit && [found.limit.failure.code, (found.limit.atMs - T0) / 1_000], limit);
    });

  test('says what the scheduler said when it has waited too long', () => {
    const found = diagnose(
      withPod({
        unscheduled: true,
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            message: '0/3 nodes are available: 3 Insufficient memory.',
          },
        ],
      }),
    );
    assert.match(
      (found.state === 'active' && found.limit?.failure.message) || '',
      /^It waited 60 minutes, the maxPending of pool "gpu", for a place: 0\/3 nodes are available: 3 Insufficient memory\. Ask for less/,
    );
  });
});
