import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { buildLaunch, failedWith, recordWatch } from '../executor/contract.js';
import { createClusterExecutor, type ClusterExecutor } from './support/cluster-executor.js';
import { clusterMissing } from './support/cluster.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');
const image = 'kube.local/busybox:1';
const withoutCreate = WORKER_RIGHTS.map((rule) => ({
  ...rule,
  verbs: rule.verbs.filter((verb) => verb !== 'create'),
}));

describe('what a step or its pool has wrong', { skip, concurrency: 4 }, () => {
  let world: ClusterExecutor;
  let powerless: ClusterExecutor;
  before(async () => {
    [world, powerless] = await Promise.all([
      createClusterExecutor({
        local: { image },
        labelled: { image, nodeSelector: { pool: 'not a label!' } },
      }),
      createClusterExecutor({ local: { image } }, withoutCreate),
    ]);
  });
  after(async () => {
    await Promise.all([world.stop(), powerless.stop()]);
  });

  const noneOf = async ({ cluster, namespace }: ClusterExecutor, name: string) => {
    const { items } = await cluster.read<{
      readonly items: readonly { readonly metadata: { readonly name: string } }[];
    }>('jobs,pods', '-n', namespace);
    assert.deepEqual(
      items.filter(({ metadata }) => metadata.name.startsWith(name)),
      [],
    );
  };

  test('a command that is not in the image is named', async () => {
    const launch = buildLaunch({ command: ['no-such-program', '--fast'] });
    const { message } = failedWith(await world.executor.run(launch, recordWatch().watch), 'CommandNotFound');
    assert.match(message, /no-such-program/);
  });

  test('a label value that Kubernetes refuses is named with its place, and nothing is left', async () => {
    const launch = buildLaunch({ pool: 'labelled', command: ['true'] });
    const { message } = failedWith(await world.executor.run(launch, recordWatch().watch), 'PodRefused');
    assert.match(message, /nodeSelector.*not a label!/s);
    await noneOf(world, launch.name);
  });

  test('a specification of 2 MB is refused before it is sent', async () => {
    const env = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`BIG_${i}`, 'x'.repeat(65_536)]));
    const launch = buildLaunch({ command: ['true'], env });
    const { message } = failedWith(await world.executor.run(launch, recordWatch().watch), 'PodRefused');
    assert.match(message, /its Job would have 2(\.\d)?Mi; Kubernetes takes about 1 MiB/);
    await noneOf(world, launch.name);
  });

  test('a worker without the right to create Jobs says which right it lacks, where', async () => {
    const launch = buildLaunch({ command: ['true'] });
    const { message } = failedWith(await powerless.executor.run(launch, recordWatch().watch), 'PodRefused');
    assert.match(message, new RegExp(`may not do that in namespace "${powerless.namespace}".*create`));
    await noneOf(powerless, launch.name);
  });
});
