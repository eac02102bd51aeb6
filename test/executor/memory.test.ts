import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { readJson } from '../../src/adapters/attempt-files/json-file.js';
import { systemCgroupFiles } from '../../src/adapters/process-executor/cgroup-files.js';
import { findCgroupParent } from '../../src/adapters/process-executor/find-cgroup-parent.js';
import type { CgroupParent } from '../../src/adapters/process-executor/find-cgroup-parent.js';
import type { MemoryGroup } from '../../src/adapters/process-executor/memory-group.js';
import { sweepLeftovers } from '../../src/adapters/process-executor/sweep-leftovers.js';
import { readProcessIdentity } from '../../src/adapters/process-identity.js';
import type { Manifest } from '../../src/core/artifacts.js';
import { decideRetry, FIRST_ATTEMPT } from '../../src/core/retry.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createAttemptWorld, eventually } from './attempt-world.js';
import { buildLaunch, failedWith, recordWatch, sh, succeeded } from './contract.js';

const MEMORY = '64Mi';
const LIMIT = 64 * 2 ** 20;
/** Every page is touched: memory that is only asked for does not count. */
const HUNGRY = 'const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1));';
const eat = `${process.execPath} -e '${HUNGRY}'`;

const parent = await findCgroupParent(systemCgroupFiles);
const skip = parent === undefined && 'this machine lets nobody like us make memory groups';

describe('memory of an attempt where a control group can be made', { skip }, () => {
  const { createExecutor, pathsOf, store, readLog, readSupervisor, readCommand, hasLogged, root } =
    createAttemptWorld();
  let place: CgroupParent;
  before(() => {
    assert.ok(parent);
    place = parent;
  });
  const groupsOf = async (name: string) =>
    (await readdir(place.directory)).filter((entry) => entry === `anneal-${name}`);
  const hasGroup = async (name: string) => {
    const members = await systemCgroupFiles
      .read(path.join(place.directory, `anneal-${name}`, 'cgroup.procs'))
      .catch(() => '');
    return members.trim() !== '';
  };

  test('a command that uses more than resources.memory fails with OutOfMemory, its limit on record', async () => {
    const launch = buildLaunch({ command: [process.execPath, '-e', HUNGRY], resources: { memory: MEMORY } });
    const failed = failedWith(await createExecutor().run(launch, recordWatch().watch), 'OutOfMemory');
    assert.match(
      failed.message,
      /^Step "step" ran out of memory \(limit 64Mi, SIGKILL\)\. Raise resources\.memory or set retry\.outOfMemory\./,
    );
    assert.equal(failed.signal, 'SIGKILL');
    assert.deepEqual(failed.memory, { limitBytes: LIMIT, kills: 1 });
    assert.match(await readLog(launch), /^anneal: memory is limited to 64Mi\n/);
    assert.deepEqual(await groupsOf(launch.name), []);
  });

  test('retry.outOfMemory gives the next attempt enough, really', async () => {
    const command = [process.execPath, '-e', 'Buffer.alloc(100 << 20, 1)'];
    const attempt = async (memory: string) =>
      await createExecutor().run(buildLaunch({ command, resources: { memory } }), recordWatch().watch);
    const outcome = failedWith(await attempt(MEMORY), 'OutOfMemory');
    const policy = { outOfMemory: { memory: 'x8', max: '1Gi' } } as const;
    const decision = decideRetry(policy, { memory: MEMORY }, { outcome, state: FIRST_ATTEMPT });
    assert.ok(decision.action === 'retry');
    assert.deepEqual(succeeded(await attempt(decision.state.memory ?? '')).memory, { limitBytes: 8 * LIMIT });
  });

  test('a shell that says 137 for what it ran counts as out of memory, too', async () => {
    const launch = buildLaunch({ command: sh(`${eat}; exit $?`), resources: { memory: MEMORY } });
    const failed = failedWith(await createExecutor().run(launch, recordWatch().watch), 'OutOfMemory');
    assert.match(failed.message, /\(limit 64Mi, exit code 137\)/);
  });

  test('a kill that has nothing to do with memory stays a kill', async () => {
    const launch = buildLaunch({ command: sh('kill -9 $$'), resources: { memory: MEMORY } });
    const failed = failedWith(await createExecutor().run(launch, recordWatch().watch), 'AttemptKilled');
    assert.deepEqual(failed.memory, { limitBytes: LIMIT });
  });

  test('a command that ends with 0 although a child of it was killed for memory succeeds, and it is said', async () => {
    const launch = buildLaunch({ command: sh(`${eat}; true`), resources: { memory: MEMORY } });
    const outcome = succeeded(await createExecutor().run(launch, recordWatch().watch));
    assert.deepEqual(outcome.memory, { limitBytes: LIMIT, kills: 1 });
    assert.match(await readLog(launch), /anneal: a process of this attempt was killed for lack of memory\n$/);
    const bytes = await store.readBytes(storeKeys.manifest('execution', launch.name));
    const manifest = JSON.parse(Buffer.from(bytes ?? []).toString()) as Manifest;
    assert.deepEqual(manifest.memory, outcome.memory);
    assert.deepEqual(await groupsOf(launch.name), []);
  });

  test('a command within its limit succeeds, and one without resources.memory has none', async () => {
    const within = buildLaunch({ command: ['true'], resources: { memory: MEMORY } });
    assert.deepEqual(succeeded(await createExecutor().run(within, recordWatch().watch)).memory, {
      limitBytes: LIMIT,
    });
    const without = buildLaunch({ command: ['true'] });
    const outcome = succeeded(await createExecutor().run(without, recordWatch().watch));
    assert.equal(outcome.memory, undefined);
    assert.equal(await readLog(without), '');
    assert.deepEqual([...(await groupsOf(within.name)), ...(await groupsOf(without.name))], []);
  });

  test('nothing of the group is left after a cancel', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'], resources: { memory: MEMORY } });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await eventually('the command is in its group', async () => await hasGroup(launch.name));
    recorded.cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    assert.deepEqual(await groupsOf(launch.name), []);
  });

  test('nothing of the group is left when supervisor and command were killed and the attempt is closed', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'], resources: { memory: MEMORY } });
    const running = createExecutor().run(launch, recordWatch().watch);
    await eventually('the command is in its group', async () => await hasGroup(launch.name));
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    process.kill((await readCommand(launch)).pid, 'SIGKILL');
    failedWith(await running, 'AttemptLost');
    assert.deepEqual(await groupsOf(launch.name), []);
  });

  test('a process that hid from its group of processes and its environment is ended with the control group', async () => {
    const hide =
      'const { spawn } = require("node:child_process"); const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore", env: {} }); child.unref(); console.log("hidden", child.pid, "x");';
    const launch = buildLaunch({ command: [process.execPath, '-e', `${hide} setTimeout(() => {}, 1000)`] });
    const running = createExecutor().run(launch, recordWatch().watch);
    await hasLogged(launch, ' x');
    const members = await systemCgroupFiles.read(
      path.join(place.directory, `anneal-${launch.name}`, 'cgroup.procs'),
    );
    succeeded(await running);
    const pid = Number(/hidden (\d+)/.exec(await readLog(launch))?.[1]);
    assert.ok(members.split('\n').includes(String(pid)));
    assert.equal(await readProcessIdentity(pid), undefined);
  });

  test('an attempt is adopted with its group', async () => {
    const launch = buildLaunch({
      command: sh(`echo begun; until [ -e ${root}/go ]; do sleep 0.05; done; ${eat}; exit $?`),
      resources: { memory: MEMORY },
    });
    const first = recordWatch();
    const left = createExecutor().run(launch, first.watch);
    await hasLogged(launch, 'begun');
    first.detach.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    const group = await readJson<MemoryGroup>(pathsOf(launch).memoryGroup);
    assert.equal(group?.limitBytes, LIMIT);
    const adopted = createExecutor().run(launch, recordWatch().watch);
    await writeFile(path.join(root, 'go'), '');
    failedWith(await adopted, 'OutOfMemory');
    assert.deepEqual(await groupsOf(launch.name), []);
  });

  test('a group that nobody remembers is swept when it is old and empty, and not before', async () => {
    const directory = path.join(place.directory, 'anneal-forgotten-0-a1');
    await systemCgroupFiles.makeDirectory(directory);
    const options = { attemptsDir: path.join(root, 'none'), storeDir: path.join(root, 'none') };
    assert.deepEqual(await sweepLeftovers(options), []);
    const nowMs = () => Date.now() + 2 * 60 * 60_000;
    assert.ok((await sweepLeftovers({ ...options, nowMs })).includes(directory));
    assert.deepEqual(await groupsOf('forgotten-0-a1'), []);
  });
});
