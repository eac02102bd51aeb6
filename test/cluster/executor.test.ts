import { describe } from 'node:test';

import { describeAttemptExecutor } from '../executor/contract.js';
import { clusterMissing } from './support/cluster.js';
import { createClusterExecutor } from './support/cluster-executor.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');

describe('on a real cluster', { skip }, () => {
  describeAttemptExecutor(
    'kubernetes',
    async () =>
      await createClusterExecutor({
        local: { image: 'kube.local/busybox:1', defaults: { memory: '64Mi' } },
      }),
  );
});
