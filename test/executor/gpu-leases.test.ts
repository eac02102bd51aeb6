import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { createGpuInventory, leaseGpus, readDeviceList, releaseGpus } from '../../src/adapters/gpu-leases.js';
import { readProcessIdentity } from '../../src/adapters/process-identity.js';

const LISTED = `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 3g.20gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
`;

describe('GPU leases', () => {
  test('reads GPUs and MIG instances from nvidia-smi', () => {
    assert.deepEqual(readDeviceList(LISTED), ['MIG-1111', 'MIG-2222', 'GPU-bbbb']);
  });

  test('finds no GPU where nvidia-smi is missing, and respects what the worker may see', async () => {
    const found = (code: number | null, env: NodeJS.ProcessEnv) =>
      createGpuInventory({
        leasesDir: '',
        run: () => Promise.resolve({ code, stdout: LISTED, stderr: '' }),
        env,
      }).discover();
    assert.deepEqual(await found(null, {}), []);
    assert.deepEqual(await found(0, { CUDA_VISIBLE_DEVICES: '2,MIG-1' }), ['GPU-bbbb', 'MIG-1111']);
    assert.deepEqual(await found(0, { CUDA_VISIBLE_DEVICES: '' }), []);
  });

  test('asks nvidia-smi again when it failed', async () => {
    const codes = [1, 0];
    const inventory = createGpuInventory({
      leasesDir: '',
      run: () => Promise.resolve({ code: codes.shift() ?? 1, stdout: LISTED, stderr: '' }),
      env: {},
    });
    assert.equal((await inventory.discover()).length, 0);
    assert.equal((await inventory.discover()).length, 3);
    assert.equal((await inventory.discover()).length, 3);
  });

  test('counts a lease while the command of a dead holder lives', async (t) => {
    const leasesDir = await mkdtemp(path.join(tmpdir(), 'anneal-gpus-'));
    t.after(() => rm(leasesDir, { recursive: true, force: true }));
    const self = await readProcessIdentity(process.pid);
    assert.ok(self);
    const from = { leasesDir, devices: ['a'] };
    const commandFile = path.join(leasesDir, 'command.json');
    await writeFile(commandFile, JSON.stringify({ identity: self }));
    assert.deepEqual(await leaseGpus(from, 1, { pid: process.pid, startedAt: 'another', commandFile }), [
      'a',
    ]);
    assert.equal(await leaseGpus(from, 1, self), undefined);
    await rm(commandFile);
    assert.deepEqual(await leaseGpus(from, 1, self), ['a']);
  });

  test('leases all that are asked or none, and takes leases of the dead over', async (t) => {
    const leasesDir = await mkdtemp(path.join(tmpdir(), 'anneal-gpus-'));
    t.after(() => rm(leasesDir, { recursive: true, force: true }));
    const self = await readProcessIdentity(process.pid);
    assert.ok(self);
    const from = { leasesDir, devices: ['a', 'b', 'c'] };
    assert.deepEqual(await leaseGpus(from, 2, { pid: process.pid, startedAt: 'another' }), ['a', 'b']);
    assert.deepEqual(await leaseGpus(from, 2, self), ['a', 'b']);
    assert.equal(await leaseGpus(from, 2, self), undefined);
    await releaseGpus(leasesDir, ['b']);
    const both = await Promise.all([leaseGpus(from, 2, self), leaseGpus(from, 2, self)]);
    assert.deepEqual(
      both.filter((one) => one !== undefined),
      [['b', 'c']],
    );
  });
});
