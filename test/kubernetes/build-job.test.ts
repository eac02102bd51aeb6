import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { V1Container, V1Job, V1PodSpec } from '@kubernetes/client-node';
import { inputMounts, mountedInFetch } from '../../src/adapters/kubernetes/pod/build-input-mounts.js';
import { buildJob } from '../../src/adapters/kubernetes/pod/build-job.js';
import { toLabelValue } from '../../src/adapters/kubernetes/labels.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import type { KubernetesPlacement } from '../../src/core/kubernetes.js';
import { jobRequest } from './job-request.js';

const podOf = (job: V1Job): V1PodSpec => job.spec?.template.spec ?? assert.fail('no pod');
const built = (request: Partial<AttemptRequest> = {}, placement: Partial<KubernetesPlacement> = {}) =>
  podOf(buildJob(jobRequest(request, { placement })));
const mainOf = (pod: V1PodSpec): V1Container => pod.containers[0] ?? assert.fail('no container');
const oursOf = (pod: V1PodSpec): V1Container[] => pod.initContainers ?? [];
const envOf = (container: V1Container) =>
  Object.fromEntries((container.env ?? []).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));

describe("an attempt's Job", () => {
  test('is one pod, once', () => {
    const job = buildJob(jobRequest());
    const { template: _template, ...spec } = job.spec ?? assert.fail();
    assert.deepEqual(spec, {
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      podReplacementPolicy: 'Failed',
      ttlSecondsAfterFinished: 604_800,
    });
    assert.equal(job.metadata?.name, 'step-abcdefghijklmnop-a1');
    assert.deepEqual(buildJob(jobRequest()), job);
  });

  test('says whose it is, and what was asked', () => {
    const job = buildJob(jobRequest({ step: 'train', pipeline: 'churn', pool: 'gpu' }));
    assert.deepEqual(job.metadata?.labels, {
      'app.kubernetes.io/managed-by': 'anneal',
      'app.kubernetes.io/part-of': 'churn',
      'app.kubernetes.io/name': 'train',
      'app.kubernetes.io/instance': 'step-abcdefghijklmnop-a1',
      'anneal.dev/project': 'test',
      'anneal.dev/pipeline': 'churn',
      'anneal.dev/step': 'train',
      'anneal.dev/pool': 'gpu',
      'anneal.dev/run': 'run-1',
      'anneal.dev/attempt': '1',
    });
    const { annotations = {} } = job.metadata ?? {};
    assert.equal(annotations['anneal.dev/run-id'], 'run/1');
    assert.equal(annotations['anneal.dev/epoch'], 'epoch');
    const other = buildJob(
      jobRequest({ step: 'train', pipeline: 'churn', pool: 'gpu', parameters: { a: 1 } }),
    );
    assert.notEqual(
      other.metadata?.annotations?.['anneal.dev/spec-hash'],
      annotations['anneal.dev/spec-hash'],
    );
  });

  test('makes every text a label value', () => {
    for (const [text, value] of [
      ['run/1', 'run-1'],
      ['-_a_-', 'a'],
      ['', ''],
      ['ü'.repeat(3), ''],
      [`${'a'.repeat(62)}/b`, 'a'.repeat(62)],
    ] as const)
      assert.equal(toLabelValue(text), value);
  });

  test('is admitted by Kueue where the pool has a queue', () => {
    const job = buildJob(jobRequest({}, { placement: { queue: 'gpus' } }));
    assert.equal(job.metadata?.labels?.['kueue.x-k8s.io/queue-name'], 'gpus');
    assert.equal(job.spec?.suspend, true);
  });

  test('runs under Pod Security restricted, as one user', () => {
    const pod = built();
    assert.deepEqual(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      fsGroup: 65_532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of [...oursOf(pod), mainOf(pod)]) {
      assert.equal(container.securityContext?.allowPrivilegeEscalation, false);
      assert.deepEqual(container.securityContext.capabilities, { drop: ['ALL'] });
      assert.equal(container.securityContext.runAsUser, undefined);
    }
    assert.deepEqual(
      [pod.automountServiceAccountToken, pod.enableServiceLinks, pod.restartPolicy],
      [false, false, 'Never'],
    );
  });

  test('leaves the user to the platform where the pool says so', () => {
    const { user: _user, ...platform } = jobRequest().placement;
    const { securityContext } = podOf(buildJob({ ...jobRequest(), placement: platform }));
    assert.deepEqual(securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  });

  test('starts fetch, then agent beside main', () => {
    const pod = built({ image: 'train:1', command: ['python', 'train.py'] });
    assert.deepEqual(
      [...oursOf(pod), mainOf(pod)].map(({ name, image, restartPolicy }) => [name, image, restartPolicy]),
      [
        ['fetch', 'anneal:1', undefined],
        ['agent', 'anneal:1', 'Always'],
        ['main', 'train:1', undefined],
      ],
    );
    assert.deepEqual(mainOf(pod).command, ['/anneal/bin/busybox', 'sh', '/anneal/bin/wrapper.sh']);
    assert.deepEqual(mainOf(pod).args, ['python', 'train.py']);
  });

  test("gives the store's credentials to the containers of Anneal alone", () => {
    const pod = built({ env: { TOKEN: { secret: { name: 'mine', key: 'token' } } } }, { secrets: ['mine'] });
    const ref = (name: string, key: string) => ({ secretKeyRef: { name, key } });
    for (const container of oursOf(pod)) {
      const env = envOf(container);
      assert.deepEqual(env['AWS_ACCESS_KEY_ID'], ref('anneal-store', 'access-key-id'));
      assert.equal(env['ANNEAL_STORE'], 's3://bucket/prefix');
      assert.equal(env['ANNEAL_LAUNCH'], 'runs/execution/attempts/step-abcdefghijklmnop-a1/launch.json');
      assert.equal(env['TOKEN'], undefined);
    }
    const main = envOf(mainOf(pod));
    assert.deepEqual(main['TOKEN'], ref('mine', 'token'));
    assert.ok(!JSON.stringify(mainOf(pod)).includes('anneal-store'));
  });

  test('projects a token for an audience into the containers of Anneal alone', () => {
    const store = {
      ...jobRequest().store,
      access: { audience: 'sts', roleArn: 'arn:x', serviceAccount: 'store' },
    };
    const pod = podOf(buildJob({ ...jobRequest(), store }));
    assert.equal(pod.serviceAccountName, 'store');
    for (const container of oursOf(pod)) {
      assert.ok(container.volumeMounts?.some(({ name }) => name === 'store-token'));
      assert.equal(envOf(container)['AWS_ROLE_ARN'], 'arn:x');
    }
    assert.ok(!mainOf(pod).volumeMounts?.some(({ name }) => name === 'store-token'));
  });

  test('keeps the class Guaranteed of a step whose cores and memory are known', () => {
    for (const pod of [
      built({ resources: { cpu: 1.5, memory: '1.5Gi', gpu: 1 } }),
      built({}, { defaults: { cpu: 1, memory: '2Gi' } }),
    ])
      for (const { resources } of [...oursOf(pod), mainOf(pod)]) {
        assert.deepEqual(resources?.requests, resources?.limits);
        assert.ok(resources?.limits?.['cpu'] && resources.limits['memory']);
      }
    assert.deepEqual(mainOf(built({ resources: { cpu: 1.5, memory: '1.5Gi' } })).resources?.limits, {
      cpu: '1500m',
      memory: '1610612736',
    });
    assert.deepEqual(mainOf(built()).resources, { requests: {}, limits: {} });
  });

  test("asks for GPUs by the pool's name for them, and accepts their taint", () => {
    const pod = built(
      { resources: { gpu: { type: 'a100', count: 2 } } },
      { gpuResource: 'nvidia.com/mig-1g.5gb' },
    );
    assert.deepEqual(mainOf(pod).resources?.limits, { 'nvidia.com/mig-1g.5gb': '2' });
    assert.deepEqual(pod.tolerations, [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]);
    assert.equal(envOf(mainOf(pod))['NVIDIA_VISIBLE_DEVICES'], undefined);
    assert.equal(envOf(mainOf(built()))['NVIDIA_VISIBLE_DEVICES'], 'void');
    const greedy = { env: { NVIDIA_VISIBLE_DEVICES: 'all' } };
    assert.equal(envOf(mainOf(built(greedy)))['NVIDIA_VISIBLE_DEVICES'], 'void');
    const asked = built({ ...greedy, resources: { gpu: 1 } });
    assert.equal(envOf(mainOf(asked))['NVIDIA_VISIBLE_DEVICES'], undefined);
  });

  test('has disk, shared memory and scratch space as asked', () => {
    const pod = built({
      resources: {
        ephemeralStorage: '10Gi',
        sharedMemory: '2Gi',
        scratch: { size: '100Gi', storageClass: 'fast' },
      },
    });
    assert.deepEqual(mainOf(pod).resources?.limits, { 'ephemeral-storage': '10Gi' });
    assert.deepEqual(
      pod.volumes?.map(({ name, ...rest }) => [name, ...Object.keys(rest)]),
      [
        ['anneal', 'emptyDir'],
        ['shm', 'emptyDir'],
        ['scratch', 'ephemeral'],
      ],
    );
    assert.deepEqual(
      mainOf(pod).volumeMounts?.map(({ mountPath }) => mountPath),
      ['/anneal', '/dev/shm', '/scratch'],
    );
  });

  test('goes where the pool says, and among its nodes where the step says', () => {
    const pod = built(
      { kubernetes: { nodeSelector: { zone: 'a' }, nodeAffinity: { gpu: ['a', 'b'] } } },
      {
        nodeSelector: { disk: 'ssd' },
        tolerations: [{ key: 'spot', operator: 'Exists' }],
        priorityClass: 'high',
        runtimeClass: 'nvidia',
        allow: ['nodeSelector', 'nodeAffinity'],
      },
    );
    assert.deepEqual(pod.nodeSelector, { zone: 'a', disk: 'ssd' });
    assert.deepEqual([pod.priorityClassName, pod.runtimeClassName], ['high', 'nvidia']);
    assert.deepEqual(pod.tolerations, [{ key: 'spot', operator: 'Exists' }]);
    assert.deepEqual(
      pod.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms,
      [{ matchExpressions: [{ key: 'gpu', operator: 'In', values: ['a', 'b'] }] }],
    );
  });

  test('mounts volumes of the pool, secrets and config maps', () => {
    const pod = built(
      {
        kubernetes: {
          volumes: { data: '/mnt/data' },
          files: { '/mnt/ca': { configMap: 'ca' } },
          configMaps: { MODE: { name: 'modes', key: 'train' } },
        },
      },
      { volumes: { data: { claim: 'datasets', readOnly: true } }, allow: ['files', 'configMaps'] },
    );
    assert.deepEqual(pod.volumes?.slice(1), [
      { name: 'pool-data', persistentVolumeClaim: { claimName: 'datasets', readOnly: true } },
      { name: 'files-0', configMap: { name: 'ca' } },
    ]);
    assert.deepEqual(envOf(mainOf(pod))['MODE'], { configMapKeyRef: { name: 'modes', key: 'train' } });
  });

  test('calls volumes of the pool what Kubernetes lets a volume be called, and no two alike', () => {
    const long = 'shared-datasets-of-the-research-group-for-image-segmentation-2026';
    const names = ['data', long, `${long}-b`, 'team.a.data', 'team-a-data', 'x'.repeat(58), 'x'.repeat(59)];
    const claims = Object.fromEntries(names.map((name) => [name, { claim: name, readOnly: true }]));
    const mounts = Object.fromEntries(names.map((name) => [name, `/mnt/${name}`]));
    const pod = built({ kubernetes: { volumes: mounts } }, { volumes: claims });
    const made = pod.volumes?.filter(({ name }) => name.startsWith('pool-')) ?? [];
    assert.deepEqual(
      made.map(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName),
      names,
    );
    for (const { name } of made) assert.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
    assert.equal(new Set(made.map(({ name }) => name)).size, names.length);
    assert.equal(made[0]?.name, 'pool-data');
    assert.equal(made[5]?.name, `pool-${'x'.repeat(58)}`);
    for (const { name, persistentVolumeClaim } of made) {
      const mount = mainOf(pod).volumeMounts?.find((one) => one.name === name);
      assert.equal(mount?.mountPath, `/mnt/${persistentVolumeClaim?.claimName}`);
    }
  });

  test('has a deadline behind that of the wrapper, and a grace that lets the agent store', () => {
    const pod = built({ timeoutMs: 3_600_000, stopGraceMs: 30_000 });
    assert.equal(pod.terminationGracePeriodSeconds, 90);
    assert.equal(pod.activeDeadlineSeconds, 3_600 + 30 + 600 + 7_200);
    assert.equal(envOf(mainOf(pod))['ANNEAL_TIMEOUT'], '3600');
    const month = 30 * 86_400 + 30 + 600 + 7_200;
    assert.equal(
      built({ stopGraceMs: 30_000 }).activeDeadlineSeconds,
      month,
      'nothing holds a node for ever',
    );
    const short = built({ timeoutMs: 600_000 }, { maxRuntimeMs: 3_600_000 });
    assert.equal(short.activeDeadlineSeconds, 3_600);
  });

  test('has a folder for commands of people where its step takes some, and only there', () => {
    const commandsOf = (pod: V1PodSpec) => envOf(mainOf(pod))['ANNEAL_COMMANDS_DIR'];
    assert.equal(commandsOf(built({ takesCommands: true })), '/anneal/commands');
    assert.equal(commandsOf(built()), undefined);
  });

  test('has the paths of the pod in its command, and the URI of its own outputs', () => {
    const ref = {
      kind: 'Dataset',
      uri: 's3://b/$x',
      digest: '',
      sizeBytes: 0,
      form: 'file',
      values: {},
    } as const;
    const pod = built({
      inputs: { data: ref },
      command: [
        'train',
        ['--in=', { input: 'data', as: 'path' }],
        [{ input: 'data', as: 'uri' }],
        [{ output: 'model', as: 'path' }],
        [{ output: 'model', as: 'uri' }],
      ],
    });
    assert.deepEqual(mainOf(pod).args, [
      'train',
      '--in=/anneal/inputs/data',
      's3://b/$$x',
      '/anneal/outputs/model',
      's3://bucket/prefix/runs/execution/attempts/step-abcdefghijklmnop-a1/pods/$(ANNEAL_POD_UID)/outputs/model',
    ]);
  });
});

describe('inputs that are mounted', () => {
  const at = (uri: string) =>
    ({ kind: 'Dataset', uri, digest: '', sizeBytes: 0, form: 'file', values: {} }) as const;
  const volumes = {
    lake: { claim: 'lake', readOnly: false, holds: 's3://lake' },
    scans: { claim: 'scans', readOnly: true, holds: 's3://lake/scans' },
    other: { claim: 'other', readOnly: true },
  };
  const inputs = {
    table: at('s3://lake/tables/a b.csv'),
    scan: at('s3://lake/scans/7'),
    whole: at('s3://lake/scans'),
    copied: at('s3://lake/x'),
  };
  const access = { table: 'mount', scan: 'mount', whole: 'mount', copied: 'copy' } as const;

  test('are read-only parts of the claims that hold them, at the paths of inputs', () => {
    const pod = built({ inputs, access, command: ['x', [{ input: 'scan', as: 'path' }]] }, { volumes });
    assert.deepEqual(pod.volumes?.slice(1), [
      { name: 'inputs-0', persistentVolumeClaim: { claimName: 'lake', readOnly: true } },
      { name: 'inputs-1', persistentVolumeClaim: { claimName: 'scans', readOnly: true } },
    ]);
    const at = '/anneal/inputs';
    assert.deepEqual(mainOf(pod).volumeMounts?.slice(1), [
      { name: 'inputs-0', mountPath: `${at}/table`, subPath: 'tables/a b.csv', readOnly: true },
      { name: 'inputs-1', mountPath: `${at}/scan`, subPath: '7', readOnly: true },
      { name: 'inputs-1', mountPath: `${at}/whole`, readOnly: true },
    ]);
    assert.deepEqual(mainOf(pod).args, ['x', '/anneal/inputs/scan']);
    const [fetch, agent] = oursOf(pod);
    assert.deepEqual(fetch?.volumeMounts?.slice(1), [
      { name: 'inputs-0', mountPath: '/mounts/inputs-0', readOnly: true },
      { name: 'inputs-1', mountPath: '/mounts/inputs-1', readOnly: true },
    ]);
    assert.equal(agent?.volumeMounts?.length, 1);
  });

  test('are looked for by the container that fetches', () => {
    const { request } = jobRequest({ inputs, access }).launch;
    assert.deepEqual(mountedInFetch(inputMounts(request, { volumes })), {
      table: '/mounts/inputs-0/tables/a b.csv',
      scan: '/mounts/inputs-1/7',
      whole: '/mounts/inputs-1',
    });
  });

  for (const uri of ['s3://lakeside/a', 's3://store/a', 's3://lake/scans/../../etc', 's3://lake//a'])
    test(`are refused by name where no volume holds them: ${uri}`, () => {
      const request = { inputs: { table: at(uri) }, access: { table: 'mount' } } as const;
      assert.throws(
        () => built(request, { volumes }),
        /is to find its input "table" \(s3:.*\) mounted; of pool "local" volume "lake" holds s3:\/\/lake, "scans" holds s3:\/\/lake\/scans\. Set pools\.local\.volumes\.<name>\.holds/,
      );
      assert.throws(() => built(request), /no volume of pool "local" says what it holds/);
    });
});

describe('a step that asks for more than its pool lets it', () => {
  const KUBERNETES = { priorityClass: 'high' } as const;
  for (const [what, request, message, placement] of [
    [
      'an option',
      { kubernetes: KUBERNETES },
      'Step "step" sets kubernetes.priorityClass, which pool "local" does not let steps set. Add priorityClass to pools.local.allow in anneal.yaml, or take it out of the step.',
    ],
    [
      'an account',
      { kubernetes: { serviceAccount: 'admin' } },
      /names the service account "admin"; pools\.local\.serviceAccounts has none/,
    ],
    [
      'a volume',
      { kubernetes: { volumes: { data: '/mnt/x' } } },
      /mounts the volume "data"; pools\.local\.volumes has none/,
    ],
    [
      'other nodes',
      { kubernetes: { nodeSelector: { zone: 'b' } } },
      /asks for nodes with zone=b; pool "local" is those with zone=a/,
      { nodeSelector: { zone: 'a' }, allow: ['nodeSelector'] },
    ],
    [
      "the store's secret as environment",
      { env: { KEY: { secret: { name: 'anneal-store', key: 'secret-access-key' } } } },
      /names the secret "anneal-store", which holds the store's credentials/,
    ],
    [
      "a secret of Anneal's workers",
      { env: { KEY: { secret: { name: 'anneal-credentials', key: 'password' } } } },
      /names the secret "anneal-credentials"; names that begin with "anneal-" are of Anneal's own workers/,
    ],
    [
      'a secret that its pool does not list',
      { env: { KEY: { secret: { name: 'payroll', key: 'password' } } } },
      /names the secret "payroll"; pools\.local\.secrets has "hub"\. Add it there/,
      { secrets: ['hub'] },
    ],
    [
      'such a secret as a file',
      { kubernetes: { files: { '/mnt/s': { secret: 'payroll' } } } },
      /names the secret "payroll"; pools\.local\.secrets has none/,
      { allow: ['files'] },
    ],
    [
      'scratch space',
      { resources: { scratch: { size: '2Ti' } } },
      /asks for 2Ti of scratch space; pool "local" offers 500Gi to one attempt\..*pools\.local\.scratch/,
      { maxScratch: '500Gi' },
    ],
    [
      'a timeout',
      { timeoutMs: 7_200_000 },
      /has a timeout of 2h 00m; pool "local" lets a pod live 1h 00m\. Lower it, or raise pools\.local\.maxRuntime/,
      { maxRuntimeMs: 3_600_000 },
    ],
    [
      "the store's secret as a file",
      { kubernetes: { files: { '/mnt/s': { secret: 'anneal-store' } } } },
      /names the secret "anneal-store"/,
      { allow: ['files'] },
    ],
    [
      'no image',
      { image: undefined },
      /has no image, and runs on Kubernetes\. Set image: of the step, or pools\.local\.image/,
    ],
    [
      'an argument',
      { command: ['x'.repeat(200_000)] },
      /an argument of its command has 200000 bytes; Linux takes less than 131072/,
    ],
    [
      'a Job',
      { env: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`V${i}`, 'x'.repeat(50_000)])) },
      /its Job would have 1\.9Mi; Kubernetes takes about 1 MiB/,
    ],
  ] as const)
    test(`is refused: ${what}`, () => {
      const job = jobRequest(request as Partial<AttemptRequest>, { ...(placement && { placement }) });
      assert.throws(() => buildJob(job), { name: 'AnnealError', message });
    });

  for (const directory of [
    '/anneal/bin',
    '/',
    '/proc/1',
    '/dev/shm',
    'relative',
    '/mnt/../etc',
    '/a//b',
    '/x:y',
    '/var/run/secrets/x',
  ])
    test(`is refused at ${directory}`, () => {
      const placement = { volumes: { data: { claim: 'd', readOnly: true } } };
      const job = jobRequest({ kubernetes: { volumes: { data: directory } } }, { placement });
      assert.throws(() => buildJob(job), /it must be an absolute path outside of the system's/);
    });
});
