import { describe } from 'node:test';

import { createKubernetesApi } from '../../src/adapters/kubernetes/api.js';
import { createApiTransport } from '../../src/adapters/kubernetes/api-transport.js';
import { createAttemptWatcher } from '../../src/adapters/kubernetes/attempt-watcher.js';
import { createKubernetesExecutor } from '../../src/adapters/kubernetes/create-kubernetes-executor.js';
import { loadKubeConnection } from '../../src/adapters/kubernetes/kube-config.js';
import { projectSelector } from '../../src/adapters/kubernetes/labels.js';
import { WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import type { KubernetesPlacement } from '../../src/core/kubernetes.js';
import { describeAttemptExecutor, type ExecutorUnderTest } from '../executor/contract.js';
import { PLACEMENT } from '../kubernetes/job-request.js';
import { startS3Server } from '../store/s3-server.js';
import { clusterMissing, openCluster } from './support/cluster.js';
import { storeSecret } from './support/cluster-world.js';
import { STORE_SECRET } from './support/cluster-project.js';
import { createNamespace } from './support/namespace.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');

/** What the pools of these tests have that differs from one another. */
const POOLS: { readonly [name: string]: Partial<KubernetesPlacement> } = {
  local: { image: 'kube.local/busybox:1', defaults: { memory: '64Mi' } },
};

async function createClusterExecutor(): Promise<ExecutorUnderTest> {
  const { hostAddress } = openCluster();
  const [namespace, s3] = await Promise.all([
    createNamespace('executor', WORKER_RIGHTS),
    startS3Server(hostAddress),
  ]);
  await namespace.cluster.apply(storeSecret(namespace.name, s3.credentials));
  const options = { ...s3.storeOptions(), root: `s3://${s3.bucket}/executor` };
  const store = createS3Store(options);
  const connection = await loadKubeConnection({ env: { ...process.env, KUBECONFIG: namespace.kubeconfig } });
  const transport = createApiTransport({ connection });
  const watcher = createAttemptWatcher({
    transport,
    namespace: namespace.name,
    labelSelector: projectSelector('test'),
    onProblem: () => undefined,
  });
  watcher.start();
  const executor = createKubernetesExecutor({
    api: createKubernetesApi(transport, namespace.name),
    watcher,
    store,
    s3: { endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true },
    project: 'test',
    settings: { image: 'kube.local/anneal:1', store: { secret: STORE_SECRET }, jobsPerSecond: 10 },
    placementOf: (pool) => ({ placement: { ...PLACEMENT, ...POOLS[pool] } }),
    shipCode: () => Promise.resolve(),
    clock: { nowMs: () => Date.now() },
    log: () => undefined,
    metricsEveryMs: 500,
    checkpointSettleMs: 60_000,
  });
  return {
    executor,
    store,
    stop: async () => {
      await watcher.stop();
      await transport.close();
      await namespace.remove();
      await s3.stop();
    },
  };
}

describe('on a real cluster', { skip }, () => {
  describeAttemptExecutor('kubernetes', createClusterExecutor);
});
