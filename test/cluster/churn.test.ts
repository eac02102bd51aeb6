import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { clusterMissing } from './support/cluster.js';
import { runChurnOnCluster } from './support/churn-on-cluster.js';

describe('the churn example on Kubernetes', { skip: clusterMissing }, () => {
  test('trains on a pod with a GPU, stores in S3, registers in MLflow and promotes', async () => {
    const told: string[] = [];
    const { status, output, trainer, podSteps, versions, champion, keys } = await runChurnOnCluster((line) =>
      told.push(line),
    );
    assert.equal(status.state, 'completed', output + told.join('\n'));
    assert.deepEqual([...podSteps].sort(), [
      'compute-features',
      'evaluate-model',
      'ingest',
      'train-model',
      'validate-data',
    ]);
    assert.equal(trainer?.spec?.nodeName, 'real-0');
    const main = trainer?.spec?.containers.find(({ name }) => name === 'main');
    assert.equal(main?.resources?.limits?.['nvidia.com/gpu'], '1');
    assert.deepEqual([versions, champion], [['1'], '1']);
    assert.ok(keys.some((key) => key.endsWith('/manifest.json')));
    assert.ok(keys.some((key) => key.endsWith('/run.json')));
  });
});
