import { createKubernetesApi } from '../../../src/adapters/kubernetes/api.js';
import { createApiTransport } from '../../../src/adapters/kubernetes/api-transport.js';
import { createAttemptWatcher } from '../../../src/adapters/kubernetes/attempt-watcher.js';
import { createKubernetesExecutor } from '../../../src/adapters/kubernetes/create-kubernetes-executor.js';
import { loadKubeConnection } from '../../../src/adapters/kubernetes/kube-config.js';
import { projectSelector } from '../../../src/adapters/kubernetes/labels.js';
import { WORKER_RIGHTS, type PolicyRule } from '../../../src/adapters/kubernetes/rights.js';
import { createS3Store } from '../../../src/adapters/s3-store/create-s3-store.js';
import type { KubernetesPlacement } from '../../../src/core/kubernetes.js';
import type { ExecutorUnderTest } from '../../executor/contract.js';
import { PLACEMENT } from '../../kubernetes/job-request.js';
import { startS3Server } from '../../store/s3-server.js';
import { openCluster } from './cluster.js';
import type { TestCluster } from './cluster.js';
import { storeSecret } from './cluster-world.js';
import { STORE_SECRET } from './cluster-project.js';
import { createNamespace } from './namespace.js';

/** An executor on the cluster, in a namespace and with a store of its own. */
export interface ClusterExecutor extends ExecutorUnderTest {
  readonly namespace: string;
  readonly cluster: TestCluster;
}

/** @param pools what the pools have that differs from one another. @param rights of its account. */
export async function createClusterExecutor(
  pools: { readonly [name: string]: Partial<KubernetesPlacement> },
  rights: readonly PolicyRule[] = WORKER_RIGHTS,
): Promise<ClusterExecutor> {
  const { hostAddress } = openCluster();
  const [namespace, s3] = await Promise.all([
    createNamespace('executor', rights),
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
    placementOf: (pool) => ({ placement: { ...PLACEMENT, ...pools[pool] } }),
    shipCode: () => Promise.resolve(),
    clock: { nowMs: () => Date.now() },
    log: () => undefined,
    metricsEveryMs: 500,
    checkpointSettleMs: 60_000,
  });
  return {
    executor,
    store,
    namespace: namespace.name,
    cluster: namespace.cluster,
    stop: async () => {
      await watcher.stop();
      await transport.close();
      await namespace.remove();
      await s3.stop();
    },
  };
}
