import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createApiTransport } from '../../src/adapters/kubernetes/api-transport.js';
import { createKubernetesApi } from '../../src/adapters/kubernetes/api.js';
import { createAttemptWatcher } from '../../src/adapters/kubernetes/attempt-watcher.js';
import { createKubernetesExecutor } from '../../src/adapters/kubernetes/create-kubernetes-executor.js';
import { projectSelector } from '../../src/adapters/kubernetes/labels.js';
import { describeAttemptExecutor } from '../executor/contract.js';
import { startFakeApiServer } from './fake-api-server.js';
import { startFakeKubelet } from './fake-kubelet.js';
import { PLACEMENT } from './job-request.js';

describeAttemptExecutor('kubernetes, on a fake API server with pods of local processes', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-kubernetes-'));
  const store = createFileStore({ root });
  const server = await startFakeApiServer();
  const kubelet = await startFakeKubelet(server);
  const transport = createApiTransport({ connection: server.connection });
  const watcher = createAttemptWatcher({
    transport,
    namespace: server.namespace,
    labelSelector: projectSelector('test'),
    onProblem: () => undefined,
  });
  watcher.start();
  const executor = createKubernetesExecutor({
    api: createKubernetesApi(transport, server.namespace),
    watcher,
    store,
    project: 'test',
    settings: { image: 'anneal:1', jobsPerSecond: 100 },
    placementOf: () => ({ placement: PLACEMENT }),
    shipCode: () => Promise.resolve(),
    clock: { nowMs: () => Date.now() },
    log: () => undefined,
    metricsEveryMs: 200,
    checkpointSettleMs: 60_000,
  });
  return {
    executor,
    store,
    stop: async () => {
      await kubelet.stop();
      await watcher.stop();
      await transport.close();
      await server.close();
      await rm(root, { recursive: true, force: true });
    },
  };
});
