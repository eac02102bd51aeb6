import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { V1PodList } from '@kubernetes/client-node';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { failureRow } from '../../src/core/failures.js';
import { buildLaunch, dataset, output, recordWatch, sh, succeeded } from '../executor/contract.js';
import { clusterMissing } from './support/cluster.js';
import { createClusterExecutor } from './support/cluster-executor.js';
import type { ClusterExecutor } from './support/cluster-executor.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');
const TIMEOUT_MS = 120_000;
/** What the agent may take, with the AWS SDK in it. */
const AGENT_BYTES = 80 * 1024 * 1024;

const eventually = async (what: string, check: () => Promise<boolean>) =>
  assert.ok(await waitUntil(check, TIMEOUT_MS), `${what} within ${TIMEOUT_MS} ms`);

describe('a pod on a real cluster', { concurrency: 2, skip }, () => {
  let under: ClusterExecutor;
  before(async () => {
    under = await createClusterExecutor({
      local: { image: 'kube.local/busybox:1', defaults: { memory: '64Mi' } },
    });
  });
  after(async () => await under.stop());

  const podsOf = async (launch: AttemptLaunch) =>
    (
      await under.cluster.read<V1PodList>(
        'pods',
        '-n',
        under.namespace,
        '-l',
        `batch.kubernetes.io/job-name=${launch.name}`,
      )
    ).items;
  const uidOf = async (launch: AttemptLaunch) => (await podsOf(launch))[0]?.metadata?.uid ?? '';
  /** The process of a container of the pod, as this machine sees it. */
  const processOf = async (launch: AttemptLaunch, program: string) => {
    let pid = 0;
    const uid = await uidOf(launch);
    await eventually(`a process of ${program}`, async () => {
      pid = await findProcess(`ANNEAL_POD_UID=${uid}`, program);
      return pid > 0;
    });
    return pid;
  };
  const readLog = async (launch: AttemptLaunch) =>
    Buffer.from((await under.store.readBytes(storeKeys.log('execution', launch.name))) ?? []).toString();
  const hasStored = async (prefix: string) => {
    for await (const _ of under.store.list(prefix)) return true;
    return false;
  };

  test('goes on without gaps or doubles when its agent is killed, which takes little memory', async () => {
    const launch = buildLaunch({
      command: sh(
        'i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo "line $i"; sleep 0.1; done; echo last > ',
        output('table'),
      ),
      outputs: { table: dataset },
    });
    const recorded = recordWatch();
    const running = under.executor.run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const place = { executionId: 'execution', attemptName: launch.name, podUid: await uidOf(launch) };
    await eventually('a piece of the log', async () => await hasStored(storeKeys.podChunks(place, 'logs')));
    const agent = await processOf(launch, 'pod-agent.js');
    const status = await readFile(`/proc/${agent}/status`, 'utf8');
    const bytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    assert.ok(bytes > 0 && bytes <= AGENT_BYTES, `the agent takes ${Math.round(bytes / 1024 / 1024)} MiB`);
    process.kill(agent, 'SIGKILL');
    succeeded(await running);
    const [pod] = await podsOf(launch);
    const restarts = pod?.status?.initContainerStatuses?.find(({ name }) => name === 'agent')?.restartCount;
    assert.equal(restarts, 1);
    const lines = (await readLog(launch)).trimEnd().split('\n');
    assert.deepEqual(
      lines,
      Array.from({ length: 150 }, (_, i) => `line ${i + 1}`),
    );
  });

  test('the next attempt takes up the checkpoint of one whose container was killed', async () => {
    const script = sh(
      'cd "$ANNEAL_CHECKPOINT_DIR"; if [ -e c1 ]; then cp c1 ',
      output('found'),
      '; exit 0; fi; echo one > c1.tmp; mv c1.tmp c1; echo saved; sleep 600',
    );
    const launch = buildLaunch({ command: script, outputs: { found: dataset } });
    const recorded = recordWatch();
    const running = under.executor.run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    await eventually('a checkpoint', async () =>
      hasStored(storeKeys.checkpoints('execution', launch.request.callId)),
    );
    process.kill(await processOf(launch, 'wrapper.sh'), 'SIGKILL');
    const outcome = await running;
    assert.equal(outcome.kind, 'failed');
    assert.equal(outcome.kind === 'failed' && failureRow(outcome.code).retry, 'infrastructure');
    const next = buildLaunch(
      {
        command: script,
        outputs: { found: dataset },
        callId: launch.request.callId,
        attempt: 2,
      },
      `${launch.name}-2`,
    );
    succeeded(await under.executor.run(next, recordWatch().watch));
    assert.match(await readLog(next), new RegExp(`^anneal: restored checkpoint "c1" of ${launch.name}\n`));
  });

  test('a pod that is deleted while it uploads either has its manifest in the store, or has failed', async () => {
    const launch = buildLaunch({
      command: sh(
        'mkdir ',
        output('table'),
        '; cd ',
        output('table'),
        '; for i in $(seq 2000); do echo $i > $i; done',
      ),
      outputs: { table: dataset },
    });
    const recorded = recordWatch();
    const running = under.executor.run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const place = { executionId: 'execution', attemptName: launch.name, podUid: await uidOf(launch) };
    await eventually('an upload has begun', async () => await hasStored(`${storeKeys.pod(place)}outputs/`));
    await under.cluster.kubectl([
      '-n',
      under.namespace,
      'delete',
      'pod',
      '--wait=false',
      (await podsOf(launch))[0]?.metadata?.name ?? '',
    ]);
    const outcome = await running;
    const manifest = await under.store.stat(storeKeys.manifest('execution', launch.name));
    assert.equal(manifest === undefined ? 'failed' : 'succeeded', outcome.kind);
    if (outcome.kind === 'failed') assert.equal(failureRow(outcome.code).retry, 'infrastructure');
  });

  test('a command that takes more memory than its container has is out of memory', async () => {
    const launch = buildLaunch({
      command: sh('echo begun; head -c 300000000 /dev/zero | tail | wc -c'),
      resources: { memory: '48Mi' },
    });
    const outcome = await under.executor.run(launch, recordWatch().watch);
    assert.equal(outcome.kind === 'failed' ? outcome.code : outcome.kind, 'OutOfMemory');
  });
});

async function findProcess(variable: string, program: string): Promise<number> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const read = async (file: string) => await readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!(await read('cmdline')).includes(program)) continue;
    if ((await read('environ')).split('\0').includes(variable)) return Number(name);
  }
  return 0;
}
