import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { buildLaunch, failedWith, recordWatch, sh } from '../executor/contract.js';
import { clusterMissing } from './support/cluster.js';
import { createClusterExecutor, type ClusterExecutor } from './support/cluster-executor.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');
const image = 'kube.local/busybox:1';

describe('an attempt that the cluster does not run to its end', { skip, concurrency: 3 }, () => {
  let world: ClusterExecutor;
  before(async () => {
    world = await createClusterExecutor({
      local: { image },
      impatient: { image, maxPendingMs: 5_000 },
      classed: { image, priorityClass: 'no-such-class' },
    });
  });
  after(async () => await world.stop());

  const left = async ({ name }: AttemptLaunch): Promise<string[]> => {
    const kinds = ['jobs,pods', '-n', world.namespace];
    const { items } = await world.cluster.read<{ readonly items: readonly (V1Job | V1Pod)[] }>(...kinds);
    return items.flatMap(({ metadata }) =>
      metadata?.name?.startsWith(name) === true ? [metadata.name] : [],
    );
  };
  /** Begins an attempt and waits until it says something. */
  const begin = async (launch: AttemptLaunch, says: RegExp) => {
    const recorded = recordWatch();
    const outcome = world.executor.run(launch, recorded.watch);
    outcome.catch(() => undefined);
    await recorded.until(() =>
      recorded.progress.some(({ phase, detail }) => says.test(`${phase} ${detail ?? ''}`)),
    );
    return { ...recorded, outcome };
  };

  test('says what the scheduler says, and is gone within its grace and 10 s when it is cancelled', async () => {
    const launch = buildLaunch({ command: ['true'], resources: { gpu: 3 }, stopGraceMs: 2_000 });
    const { cancel, outcome } = await begin(launch, /queued .*Insufficient nvidia\.com\/gpu/);
    const began = performance.now();
    cancel.abort(new Error('cancelled by test'));
    await assert.rejects(outcome, /cancelled by test/);
    assert.ok(performance.now() - began < 12_000);
    assert.deepEqual(await left(launch), []);
  });

  test('gives up after maxPending with what the scheduler said, and leaves nothing', async () => {
    const launch = buildLaunch({ pool: 'impatient', command: ['true'], resources: { memory: '300Gi' } });
    const failed = failedWith(await world.executor.run(launch, recordWatch().watch), 'PendingTooLong');
    assert.match(failed.message, /Insufficient memory/);
    assert.deepEqual(await left(launch), []);
    const log = await world.store.readBytes(storeKeys.log('execution', launch.name));
    assert.match(Buffer.from(log ?? []).toString(), /PendingTooLong/);
  });

  test('says that its image cannot be pulled, and is gone when it is cancelled', async () => {
    const launch = buildLaunch({
      image: 'kube.local/no-such-image:1',
      command: ['true'],
      stopGraceMs: 2_000,
    });
    const { cancel, outcome } = await begin(launch, /pulling .*no-such-image/);
    const began = performance.now();
    cancel.abort(new Error('cancelled by test'));
    await assert.rejects(outcome, /cancelled by test/);
    // Its node is in the middle of a pull that it takes 40 s to give up.
    assert.ok(performance.now() - began < 12_000, 'within its grace and 10 s');
    assert.deepEqual(await left(launch), []);
  });

  test('is refused for a priority class that is not there, and leaves nothing', async () => {
    const launch = buildLaunch({ pool: 'classed', command: ['true'] });
    const failed = failedWith(await world.executor.run(launch, recordWatch().watch), 'PodRefused');
    assert.match(failed.message, /no-such-class/);
    assert.deepEqual(await left(launch), []);
  });

  test('is over when somebody deletes its pod', async () => {
    const launch = buildLaunch({ command: sh('sleep 120'), stopGraceMs: 1_000 });
    const { outcome } = await begin(launch, /^running/);
    const selector = `batch.kubernetes.io/job-name=${launch.name}`;
    await world.cluster.kubectl(['delete', 'pods', '-n', world.namespace, '-l', selector, '--wait=false']);
    failedWith(await outcome, 'PodDeleted');
  });
});
