import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { ArtifactRef } from '../../src/core/artifacts.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import {
  buildLaunch,
  dataset,
  failedWith,
  input,
  output,
  recordWatch,
  sh,
  succeeded,
} from '../executor/contract.js';
import { clusterMissing } from './support/cluster.js';
import { createClusterExecutor, type ClusterExecutor } from './support/cluster-executor.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');
const HOLDS = 's3://lake/tables';

describe('inputs on a volume of the pool', { skip }, () => {
  let world: ClusterExecutor;
  let folder: string;
  let volume: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'anneal-lake-'));
    world = await createClusterExecutor({
      local: {
        image: 'kube.local/busybox:1',
        volumes: { lake: { claim: 'lake', readOnly: true, holds: HOLDS } },
      },
    });
    volume = `lake-${world.namespace}`;
    await world.cluster.apply(...claimOf(folder, { namespace: world.namespace, volume }));
    // The pod's user is nobody of this machine.
    await chmod(folder, 0o755);
    await mkdir(path.join(folder, 'deep'), { mode: 0o755 });
    await writeFile(path.join(folder, 'deep/a.csv'), 'x\n1\n', { mode: 0o644 });
    await writeFile(path.join(folder, 'secret.csv'), 'not asked for', { mode: 0o644 });
  });
  after(async () => {
    await world.stop();
    await world.cluster.kubectl(['delete', 'pv', volume, '--wait=false', '--ignore-not-found']);
    await rm(folder, { recursive: true, force: true });
  });
  const at = (uri: string, sizeBytes: number): ArtifactRef => ({
    kind: 'Dataset',
    uri,
    digest: '0'.repeat(64),
    sizeBytes,
    form: 'file',
    values: {},
  });
  const run = async (table: ArtifactRef, more: Partial<AttemptRequest>) => {
    const recorded = recordWatch();
    const request = { inputs: { table }, access: { table: 'mount' }, ...more } as const;
    return { outcome: await world.executor.run(buildLaunch(request), recorded.watch), ...recorded };
  };

  test('are at the paths of inputs, alone and read-only', async () => {
    const { outcome, phases } = await run(at(`${HOLDS}/deep/a.csv`, 4), {
      command: sh(
        'cp ',
        input('table'),
        ' ',
        output('copy'),
        '; ls "$(dirname ',
        input('table'),
        ')" > ',
        output('seen'),
        '; if echo 2 >> ',
        input('table'),
        '; then exit 9; fi',
      ),
      outputs: { copy: dataset, seen: dataset },
    });
    const { outputs } = succeeded(outcome);
    const textOf = async (name: string) =>
      Buffer.from(
        (await world.store.readBytes(world.store.keyOf(outputs[name]?.uri ?? ''))) ?? [],
      ).toString();
    assert.equal(await textOf('copy'), 'x\n1\n');
    assert.equal(await textOf('seen'), 'table\n');
    const [{ queuedMs, pullingMs, preparingMs, runningMs } = {}] = phases;
    for (const ms of [queuedMs, pullingMs, preparingMs, runningMs]) assert.ok(ms !== undefined && ms >= 0);
  });

  test('are refused before the command begins where they are not as they were recorded', async () => {
    for (const ref of [at(`${HOLDS}/deep/a.csv`, 5), at(`${HOLDS}/gone.csv`, 4)]) {
      const { outcome } = await run(ref, { command: ['true'] });
      assert.match(failedWith(outcome, 'InputMissing').message, /input "table" .* where it is mounted/);
    }
  });
});

function claimOf(
  folder: string,
  { namespace, volume: name }: { readonly namespace: string; readonly volume: string },
): readonly object[] {
  const common = { accessModes: ['ReadOnlyMany'], storageClassName: '' };
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: { ...common, capacity: { storage: '1Mi' }, hostPath: { path: folder } },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'lake', namespace },
      spec: { ...common, volumeName: name, resources: { requests: { storage: '1Mi' } } },
    },
  ];
}
