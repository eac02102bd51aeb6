import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import {
  buildLaunch,
  dataset,
  failedWith,
  output,
  recordWatch,
  sh,
  succeeded,
} from '../executor/contract.js';
import { until } from '../system/support/until.js';
import { clusterMissing, openCluster } from './support/cluster.js';
import { createClusterExecutor, type ClusterExecutor } from './support/cluster-executor.js';
import { startControlServer } from './support/control-server.js';
import { createQueue, installKueue, kueueMissing } from './support/kueue.js';

const skip =
  clusterMissing || kueueMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');

/** One pod at a time, and one GPU. */
const QUOTA = {
  pods: '1',
  cpu: '100',
  memory: '100Gi',
  'ephemeral-storage': '100Gi',
  'nvidia.com/gpu': '1',
};
const URGENT = 'anneal-test-urgent';

describe('steps in a queue of Kueue', { skip, concurrency: true }, () => {
  let under: ClusterExecutor;
  let control: Awaited<ReturnType<typeof startControlServer>>;
  const closing: (() => Promise<void>)[] = [];

  before(async () => {
    await installKueue();
    const cluster = openCluster();
    control = await startControlServer(cluster.hostAddress);
    const pool = { image: 'kube.local/busybox:1', defaults: { cpu: 0.1, memory: '64Mi' }, queue: 'steps' };
    const gpuOnReal = { 'anneal.test/node': 'real' };
    under = await createClusterExecutor({
      local: { ...pool, maxPendingMs: 600_000 },
      urgent: { ...pool, maxPendingMs: 600_000, priorityClass: URGENT },
      impatient: { ...pool, maxPendingMs: 30_000, nodeSelector: gpuOnReal },
      lost: { ...pool, queue: 'nowhere', maxPendingMs: 600_000 },
    });
    const { namespace } = under;
    await cluster.apply({
      ...{ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: URGENT } },
      value: 1_000,
    });
    closing.push(await createQueue(cluster, { namespace, queue: 'steps', quota: QUOTA }));
  });
  after(async () => {
    await under.stop();
    await control.close();
    for (const close of closing) await close();
  });

  const jobs = async () =>
    (await under.cluster.read<{ readonly items: readonly V1Job[] }>('jobs', '-n', under.namespace)).items;
  const jobOf = async ({ name }: AttemptLaunch) =>
    (await jobs()).find(({ metadata }) => metadata?.name === name);

  /** Holds the queue's place until it is told to finish. */
  const holder = (name: string) => {
    const finished = `${control.url}/${name}/finished`;
    return buildLaunch(
      {
        pool: 'urgent',
        command: sh(`until [ "$(wget -q -O - ${finished})" = finish ]; do sleep 0.3; done`),
      },
      name,
    );
  };
  const start = (launch: AttemptLaunch) => {
    const recorded = recordWatch();
    return { recorded, outcome: under.executor.run(launch, recorded.watch) };
  };

  test('wait with what Kueue says, run, make room for a more urgent one, and go on from the checkpoint in the same Job', async () => {
    const first = start(holder('first'));
    await first.recorded.until(first.recorded.isRunning);
    const launch = buildLaunch(
      {
        command: sh(
          'unit=$ANNEAL_CHECKPOINT_DIR/unit-1; if [ -e $unit ]; then cp $unit ',
          output('model'),
          '; exit 0; fi; echo learned > $unit.tmp; mv $unit.tmp $unit; sleep 600',
        ),
        outputs: { model: dataset },
      },
      'learner',
    );
    const learner = start(launch);
    const { recorded } = learner;
    const details = () => recorded.progress.map(({ detail = '' }) => detail);
    await recorded.until(() =>
      details().some((detail) => /^waits in Kueue's queue "steps": .+/.test(detail)),
    );
    assert.match(
      details().join('\n'),
      /^waits in Kueue's queue "steps": .*insufficient unused quota for pods/m,
    );
    control.finish('first');
    succeeded(await first.outcome);
    await recorded.until(recorded.isRunning);
    await until('its checkpoint is in the store', async () => {
      for await (const { key } of under.store.list('runs/'))
        if (key.includes(launch.name) && key.endsWith('unit-1/checkpoint.json')) return true;
      return undefined;
    });
    const uid = (await jobOf(launch))?.metadata?.uid;
    const second = start(holder('second'));
    await recorded.until(() => details().some((detail) => detail.startsWith('requeued by Kueue')));
    assert.match(details().join('\n'), /^requeued by Kueue in queue "steps": Preempted to accommodate/m);
    assert.deepEqual(recorded.progress.at(-1)?.phase, 'queued');
    await second.recorded.until(second.recorded.isRunning);
    control.finish('second');
    succeeded(await second.outcome);
    succeeded(await learner.outcome);
    assert.equal((await jobOf(launch))?.metadata?.uid, uid, 'it is the Job of the beginning');
    const phases = recorded.progress.map(({ phase }) => phase);
    assert.equal(
      phases.filter((phase, index) => phase === 'running' && phases[index - 1] !== 'running').length,
      2,
    );
  });

  test('wait for what no quota will ever give as long as maxPending, and leave nothing', async () => {
    const launch = buildLaunch({ pool: 'impatient', command: sh('true'), resources: { gpu: 2 } });
    const { message } = failedWith(await start(launch).outcome, 'PendingTooLong');
    assert.match(message, /waits in Kueue's queue "steps": .*nvidia\.com\/gpu/);
    await until('its Job is gone', async () => (await jobOf(launch)) === undefined);
  });

  test('are refused when their queue is not there', async () => {
    const launch = buildLaunch({ pool: 'lost', command: sh('true') });
    const { message } = failedWith(await start(launch).outcome, 'PodRefused');
    assert.match(message, /LocalQueue nowhere doesn't exist\. Make the queue, or correct pools\.lost\.queue/);
    await until('its Job is gone', async () => (await jobOf(launch)) === undefined);
  });
});
