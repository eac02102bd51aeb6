import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { createPinDataset } from '../../src/activities/pin-dataset.js';
import type { ExternalDataOptions } from '../../src/adapters/external-data/create-external-data.js';
import { createExternalData } from '../../src/adapters/external-data/create-external-data.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import { s3Program, startS3Server } from '../store/s3-server.js';
import { createAttemptWorld } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, input, output, recordWatch, sh, succeeded } from './contract.js';

const never = new AbortController().signal;

describe('an input that is not in the store', () => {
  const world = createAttemptWorld();
  const pin = async (uri: string, data: ExternalDataOptions = { allowHosts: [] }): Promise<ArtifactRef> =>
    await createPinDataset({
      data: createExternalData(data),
      store: world.store,
      clock: { nowMs: () => 1 },
      context: () => ({
        namespace: 'default',
        workflowId: 'run',
        epoch: 'epoch',
        signal: never,
        heartbeat: () => undefined,
      }),
    }).pinDataset({ uri, executionId: 'execution' });
  const run = async (ref: ArtifactRef, ...script: Parameters<typeof sh>) =>
    await world
      .createExecutor()
      .run(
        buildLaunch({ command: sh(...script), inputs: { data: ref }, outputs: { out: dataset } }),
        recordWatch().watch,
      );

  test('is where the command looks for it, with the digest that the same bytes have as an artifact', async () => {
    const file = path.join(world.root, 'a.csv');
    await writeFile(file, 'x\n1\n');
    const ref = await pin(pathToFileURL(file).href);
    const outcome = await run(ref, 'cp ', input('data'), ' ', output('out'));
    assert.equal(await world.readOutput(outcome, 'out'), 'x\n1\n');
    assert.equal(succeeded(outcome).outputs['out']?.digest, ref.digest);
  });

  test('may be a directory, listed in the store', async () => {
    const folder = path.join(world.root, 'many');
    await mkdir(path.join(folder, 'deep'), { recursive: true });
    await writeFile(path.join(folder, 'a b.csv'), 'a');
    await writeFile(path.join(folder, 'deep/c.csv'), 'c');
    const ref = await pin(pathToFileURL(folder).href);
    assert.ok(ref.pin?.listing);
    const outcome = await run(ref, 'cp -r ', input('data'), ' ', output('out'));
    assert.equal(succeeded(outcome).outputs['out']?.digest, ref.digest);
  });

  test(
    'in a bucket is read with the credentials of the worker, which the command does not get',
    { skip: s3Program === undefined && 'no S3 server' },
    async () => {
      const server = await startS3Server();
      try {
        const { endpoint, bucket, env, credentials } = server;
        await server.s3.putObject({ Bucket: bucket, Key: 'many/deep/a.csv', Body: 'x' });
        const s3 = { endpoint, region: 'us-east-1' };
        const ref = await pin(`s3://${bucket}/many/`, { allowHosts: [], s3: { ...s3, credentials } });
        const executor = world.createExecutor({
          env: { ...process.env, ...env },
          data: { allowHosts: [], s3 },
        });
        const launch = buildLaunch({
          command: sh('env | grep AWS; cp -r ', input('data'), ' ', output('out')),
          inputs: { data: ref },
          outputs: { out: dataset },
        });
        const outcome = succeeded(await executor.run(launch, recordWatch().watch));
        assert.equal(outcome.outputs['out']?.sizeBytes, 1);
        assert.equal(await world.readLog(launch), '');
      } finally {
        await server.stop();
      }
    },
  );

  test('that has changed fails the attempt for good, before its command runs', async () => {
    const file = path.join(world.root, 'b.csv');
    await writeFile(file, 'one');
    const ref = await pin(pathToFileURL(file).href);
    await writeFile(file, 'two');
    const outcome = failedWith(
      await run(ref, 'echo ran; cp ', input('data'), ' ', output('out')),
      'InputChanged',
    );
    const digest = createHash('sha256').update('two').digest('hex');
    assert.match(
      outcome.message,
      new RegExp(`b.csv changed since the run pinned it: it was sha256 ${ref.digest}, now ${digest}`),
    );
    assert.deepEqual(outcome.logTail, []);
  });
});
