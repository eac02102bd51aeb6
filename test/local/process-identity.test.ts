import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';

import {
  endProcess,
  isSameProcess,
  readGroupMembers,
  readProcessIdentity,
} from '../../src/adapters/process-identity.js';
import type { ProcessIdentity } from '../../src/adapters/process-identity.js';

const IGNORES_TERM = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("ready")';
const WAITS = 'setInterval(() => {}, 1000); console.log("ready")';
const WITH_CHILD = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(IGNORES_TERM)}], { stdio: 'inherit' }); setInterval(() => {}, 1000)`;

async function start(code: string): Promise<{ child: ChildProcess; identity: ProcessIdentity }> {
  const child = spawn(process.execPath, ['-e', code], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const identity = await readProcessIdentity(child.pid ?? 0);
  assert.ok(identity !== undefined);
  return { child, identity };
}

describe('process identity', () => {
  test('is stable while a process lives, and undefined where there is none', async () => {
    const self = await readProcessIdentity(process.pid);
    assert.deepEqual(await readProcessIdentity(process.pid), self);
    assert.ok(self !== undefined && (await isSameProcess(self)));
    for (const pid of [0, -1, 1.5, 4_194_305]) assert.equal(await readProcessIdentity(pid), undefined);
  });

  test('a process that ends on SIGTERM is terminated, and is gone the next time', async () => {
    const { identity } = await start(WAITS);
    assert.equal(await endProcess(identity, { graceMs: 5_000 }), 'terminated');
    assert.equal(await endProcess(identity, { graceMs: 5_000 }), 'gone');
  });

  test('a process that ignores SIGTERM is killed after its grace', async () => {
    const { identity } = await start(IGNORES_TERM);
    assert.equal(await endProcess(identity, { graceMs: 100 }), 'killed');
    assert.equal(await isSameProcess(identity), false);
  });

  test('the whole group is ended on demand, also a child that ignores SIGTERM and outlives its parent', async () => {
    const { identity } = await start(WITH_CHILD);
    const [member] = await readGroupMembers(identity.pid);
    assert.ok(member !== undefined);
    assert.equal(await endProcess(identity, { graceMs: 100, group: true }), 'killed');
    assert.equal(await isSameProcess(member), false);
  });

  test('a process with a recycled pid is not signalled', async () => {
    const { identity } = await start(WAITS);
    assert.equal(
      await endProcess({ ...identity, startedAt: 'earlier' }, { graceMs: 100, group: true }),
      'gone',
    );
    assert.equal(await isSameProcess(identity), true);
    await endProcess(identity, { graceMs: 5_000 });
  });
});
