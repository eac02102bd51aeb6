import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { failureRow } from '../../src/core/failures.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { buildLaunch, failedWith, recordWatch, sh, succeeded } from '../executor/contract.js';
import { until } from '../system/support/until.js';
import { createBareNode, type BareNode } from './support/bare-node.js';
import { clusterMissing, openCluster } from './support/cluster.js';
import { createClusterExecutor, type ClusterExecutor } from './support/cluster-executor.js';
import { startControlServer, type ControlServer } from './support/control-server.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');
const image = 'kube.local/busybox:1';

function start({ executor }: ClusterExecutor, launch: AttemptLaunch) {
  const recorded = recordWatch();
  const outcome = executor.run(launch, recorded.watch);
  outcome.catch(() => undefined);
  const says = async (text: RegExp) =>
    await recorded.until(() =>
      recorded.progress.some(({ phase, detail = '' }) => text.test(`${phase} ${detail}`)),
    );
  return { ...recorded, outcome, says };
}

// Both at once: the nodes of the first are no machines.
describe('an attempt', { skip, concurrency: true }, () => {
  describe('whose node is lost', { concurrency: 3 }, () => {
    let world: ClusterExecutor;
    const nodes: { [pool: string]: BareNode } = {};
    before(async () => {
      for (const pool of ['removed', 'silent', 'imageless'])
        nodes[pool] = await createBareNode(openCluster());
      const pools = Object.entries(nodes).map(([pool, { placement }]) => [pool, { image, ...placement }]);
      world = await createClusterExecutor(Object.fromEntries(pools));
    });
    after(async () => {
      for (const node of Object.values(nodes)) await node.remove();
      await world.stop();
    });
    const nodeOf = (pool: string) => nodes[pool] ?? assert.fail(`no node ${pool}`);
    const launchOn = (pool: string) =>
      buildLaunch({ pool, command: ['true'], stopGraceMs: 1_000 }, `${pool}-a1`);

    test('says that its node does not answer, and is lost when the node is removed', async () => {
      const launch = launchOn('removed');
      const { outcome, says } = start(world, launch);
      const node = nodeOf('removed');
      await node.play(world.namespace, launch.name);
      await says(/^running $/);
      await says(/^running its node bare-\w+ has stopped answering$/);
      await node.remove();
      const { code, message } = failedWith(await outcome, 'NodeLost');
      assert.equal(failureRow(code).retry, 'infrastructure');
      assert.match(message, new RegExp(`node ${node.name} was lost`, 'i'));
    });

    test('is lost when the cluster gives a silent node up, without waiting for it to come back', async () => {
      const launch = launchOn('silent');
      const { outcome, says } = start(world, launch);
      const node = nodeOf('silent');
      await node.play(world.namespace, launch.name);
      await says(/^running its node bare-\w+ has stopped answering$/);
      await node.taint();
      await says(/being deleted, and bare-\w+ does not answer/);
      failedWith(await outcome, 'NodeLost');
    });

    test('says that the image of its agent is gone, and is given up after a while', async () => {
      const launch = launchOn('imageless');
      const { outcome, says } = start(world, launch);
      const node = nodeOf('imageless');
      const waiting = { reason: 'ImagePullBackOff', message: 'Back-off pulling image: not found' };
      const away = (secondsAgo: number) => {
        const finishedAt = new Date(Date.now() - secondsAgo * 1_000).toISOString();
        const terminated = { exitCode: 137, reason: 'OOMKilled', startedAt: finishedAt, finishedAt };
        return { state: { waiting }, lastState: { terminated } };
      };
      await node.play(world.namespace, launch.name, away(0));
      await says(
        /^running its agent has ended \(exit code 137, OOMKilled\) and is to be started again: ImagePull/,
      );
      await node.play(world.namespace, launch.name, away(300));
      const selector = `batch.kubernetes.io/job-name=${launch.name}`;
      // No kubelet is there that would carry it out.
      await until('its pod is to be deleted', async () => {
        const pods = ['pods', '-n', world.namespace, '-l', selector];
        const { items } = await world.cluster.read<{ readonly items: readonly V1Pod[] }>(...pods);
        return items.every(({ metadata }) => metadata?.deletionTimestamp !== undefined);
      });
      await world.cluster.kubectl([
        ...['delete', 'pods', '-n', world.namespace, '-l', selector, '--force', '--grace-period=0'],
      ]);
      const { code } = failedWith(await outcome, 'AttemptLost');
      assert.equal(failureRow(code).retry, 'infrastructure');
    });
  });

  describe('that something befalls on its node', { concurrency: false }, () => {
    let world: ClusterExecutor;
    let control: ControlServer;
    before(async () => {
      control = await startControlServer(openCluster().hostAddress);
      world = await createClusterExecutor({ local: { image, defaults: { memory: '64Mi' } } });
    });
    after(async () => {
      await world.stop();
      await control.close();
    });
    /** Counts until it is told to finish. */
    const counting = (name: string) =>
      buildLaunch(
        {
          command: sh(
            `i=0; until [ "$(wget -q -O - ${control.url}/${name}/finished)" = finish ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done`,
          ),
        },
        name,
      );
    const podOf = async ({ name }: AttemptLaunch) => {
      const selector = `batch.kubernetes.io/job-name=${name}`;
      const pods = ['pods', '-n', world.namespace, '-l', selector];
      return (await world.cluster.read<{ readonly items: readonly V1Pod[] }>(...pods)).items[0];
    };
    const assertWholeLog = async ({ name }: AttemptLaunch) => {
      const log = await world.store.readBytes(storeKeys.log('execution', name));
      const lines = Buffer.from(log ?? [])
        .toString()
        .trimEnd()
        .split('\n');
      assert.ok(lines.length > 3, `${lines.length} lines`);
      assert.deepEqual(
        lines,
        lines.map((_, index) => `line ${index + 1}`),
      );
    };

    test('goes on when its agent alone runs out of memory', async () => {
      const launch = counting('squeezed');
      const { outcome, isRunning, until: told } = start(world, launch);
      await told(isRunning);
      const uid = (await podOf(launch))?.metadata?.uid ?? '';
      const agent = await until('its agent runs', async () => await findProcess(uid, 'pod-agent.js'));
      await squeeze(agent);
      const ended = await until('the kernel has killed it', async () => {
        const statuses = (await podOf(launch))?.status?.initContainerStatuses ?? [];
        return statuses.find(({ name }) => name === 'agent')?.lastState?.terminated;
      });
      assert.equal(ended.reason, 'OOMKilled');
      control.finish('squeezed');
      succeeded(await outcome);
      await assertWholeLog(launch);
    });

    test('says that its node does not answer, and goes on in the same pod when the node is back', async () => {
      const launch = counting('unseen');
      const { outcome, isRunning, until: told, says, progress } = start(world, launch);
      await told(isRunning);
      const uid = (await podOf(launch))?.metadata?.uid;
      await world.cluster.stop('kubelet');
      try {
        await says(/^running its node real-0 has stopped answering$/);
      } finally {
        await world.cluster.start('kubelet');
      }
      await told(() => progress.at(-1)?.detail === undefined);
      control.finish('unseen');
      succeeded(await outcome);
      assert.equal((await podOf(launch))?.metadata?.uid, uid);
      await assertWholeLog(launch);
    });
  });
});

/** Takes memory from the container of a process until the kernel kills it, as it does where the program wants more than its limit. */
async function squeeze(pid: number): Promise<void> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const of = (line: RegExp) => line.exec(groups)?.[1];
  const v1 = of(/^\d+:(?:[^:]*,)?memory:(.*)$/m);
  const group = v1 === undefined ? `/sys/fs/cgroup${of(/^0::(.*)$/m) ?? ''}` : `/sys/fs/cgroup/memory${v1}`;
  const [used, limit] =
    v1 === undefined ? ['memory.current', 'memory.max'] : ['memory.usage_in_bytes', 'memory.limit_in_bytes'];
  await until('the kernel kills the process', async () => {
    if (!existsSync(`/proc/${pid}`)) return true;
    const bytes = Number(await readFile(`${group}/${used}`, 'utf8'));
    // A limit below what cannot be freed is refused: it has to be met by the program itself.
    await writeFile(`${group}/${limit}`, String(bytes - 65_536)).catch(() => undefined);
    return !existsSync(`/proc/${pid}`);
  });
}

async function findProcess(podUid: string, program: string): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const read = async (file: string) => await readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!(await read('cmdline')).includes(program)) continue;
    if ((await read('environ')).split('\0').includes(`ANNEAL_POD_UID=${podUid}`)) return Number(name);
  }
  return undefined;
}
