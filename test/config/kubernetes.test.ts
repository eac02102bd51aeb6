import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { poolSlots, poolsForHost } from '../../src/config/host-pools.js';
import { loadConfig } from '../../src/config/load-config.js';
import { parseConfig } from '../../src/config/parse-config.js';
import type { ProjectConfig } from '../../src/config/project-config.js';

const WHOLE = `
project: churn
store: s3://bucket/churn
kubernetes:
  context: prod
  namespace: anneal-churn
  image: registry.example/anneal@sha256:0
  store: { secret: anneal-store }
pools:
  cpu: { slots: 3 }
  gpu:
    executor: kubernetes
    image: registry.example/train:1
    cpu: 8
    memory: 64Gi
    gpu: 8
    gpuType: a100
    defaults: { cpu: 1, memory: 2Gi }
    nodeSelector: { disk: ssd }
    tolerations: [{ key: spot, operator: Exists }]
    maxPending: 30m
    volumes: { data: { claim: datasets } }
    allow: [nodeSelector]
    pricePerHour: 2.5
`;

async function load(yaml: string): Promise<ProjectConfig> {
  const root = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-config-'));
  try {
    await writeFile(path.join(root, 'anneal.yaml'), yaml);
    return await loadConfig({ cwd: root, env: {} });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

describe('pools on Kubernetes', () => {
  test('are read with their defaults', async () => {
    const config = await load(WHOLE);
    assert.deepEqual(config.kubernetes, {
      context: 'prod',
      namespace: 'anneal-churn',
      image: 'registry.example/anneal@sha256:0',
      store: { secret: 'anneal-store' },
      jobsPerSecond: 10,
      maxWatchedJobs: 500,
    });
    assert.deepEqual(config.pools['gpu'], {
      executor: 'kubernetes',
      cpu: 8,
      memory: '64Gi',
      gpu: 8,
      gpuType: 'a100',
      gpuOptional: false,
      placement: {
        image: 'registry.example/train:1',
        defaults: { cpu: 1, memory: '2Gi' },
        gpuResource: 'nvidia.com/gpu',
        nodeSelector: { disk: 'ssd' },
        nodeAffinity: {},
        tolerations: [{ key: 'spot', operator: 'Exists' }],
        maxPendingMs: 1_800_000,
        user: 65_532,
        serviceAccounts: [],
        secrets: [],
        imagePullSecrets: [],
        volumes: { data: { claim: 'datasets', readOnly: true } },
        allow: ['nodeSelector'],
        pricePerHour: 2.5,
      },
    });
  });

  test('have a task queue that names no host, and are in a run without what only the worker needs', async () => {
    const config = await load(WHOLE);
    const pools = poolsForHost(config, { name: 'box' }, new Set(['cpu']));
    assert.deepEqual(
      pools.map(({ taskQueue, controlQueue }) => [taskQueue, controlQueue]),
      [
        ['churn/cpu@box', 'churn/control@box'],
        ['churn/gpu', 'churn/control'],
      ],
    );
    const { taskQueue: _queue, controlQueue: _control, ...gpu } = pools[1] ?? assert.fail();
    assert.deepEqual(gpu, {
      name: 'gpu',
      executor: 'kubernetes',
      cpu: 8,
      memory: '64Gi',
      gpu: 8,
      gpuType: 'a100',
      gpuOptional: false,
      pricePerHour: 2.5,
    });
  });

  test('take as many attempts as a worker may watch', async () => {
    const config = await load(WHOLE);
    assert.equal(poolSlots(config, 'gpu', { cores: 2 }), 500);
    assert.equal(poolSlots(config, 'cpu', { cores: 2 }), 3);
  });

  for (const [yaml, message] of [
    [
      'pools: { gpu: { executor: kubernetes } }',
      'anneal.yaml:1:27: pools.gpu.executor is "kubernetes", and kubernetes.namespace is not set. Name the namespace of its Jobs.',
    ],
    [
      'kubernetes: { namespace: a }\npools: { gpu: { executor: kubernetes } }',
      /^anneal.yaml:2:27: .* kubernetes\.image is not set/,
    ],
    [
      'kubernetes: { namespace: a, image: b }\npools: { gpu: { executor: kubernetes } }',
      /pods do not reach the store in \.anneal\/local\. Set store: to s3:\/\/BUCKET\/PREFIX\./,
    ],
    [
      WHOLE.replace('cpu: 1,', 'cpu: 9,'),
      /^anneal.yaml:18:22: pools\.gpu\.defaults\.cpu is 9, which is more than one attempt may ask \(8\)/,
    ],
    [
      WHOLE.replace('gpuType: a100', 'gpuOptional: true'),
      /unknown key "pools\.gpu\.gpuOptional"\. .*It may be executor, slots, image, cpu/,
    ],
    ['pools: { cpu: { image: x } }', /unknown key "pools\.cpu\.image"/],
    [WHOLE.replace('image: registry.example/train:1', 'imge: x'), /Did you mean "image"\?/],
    [
      WHOLE.replace('[nodeSelector]', '[hostPath]'),
      /pools\.gpu\.allow\.0 is "hostPath"; it must be a list of: nodeSelector/,
    ],
    [
      WHOLE.replace('{ secret: anneal-store }', '{}'),
      /kubernetes\.store is .*; it must be a map with secret, or with audience/,
    ],
    [
      WHOLE.replace('namespace: anneal-churn', 'namespace: A_b'),
      /kubernetes\.namespace is "A_b"; it must be the name of a Kubernetes namespace/,
    ],
  ] as const)
    test(`are refused where ${String(message)}`, () => {
      assert.throws(() => parseConfig(yaml, 'anneal.yaml'), { code: 'InvalidConfig', message });
    });
});
