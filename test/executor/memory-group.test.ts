import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { CgroupFiles } from '../../src/adapters/process-executor/cgroup-files.js';
import { findCgroupParent } from '../../src/adapters/process-executor/find-cgroup-parent.js';
import {
  enterMemoryGroup,
  makeMemoryGroup,
  readMemoryEvidence,
  removeMemoryGroup,
  sweepMemoryGroups,
} from '../../src/adapters/process-executor/memory-group.js';
import { createFakeCgroups } from './fake-cgroups.js';

const AT = '/sys/fs/cgroup';
const OWN = '/user.slice/u.service/app.slice/worker.service/main';
const ABOVE = '/user.slice/u.service/app.slice/worker.service';

describe('the place for memory groups (cgroup version 2)', () => {
  test('is next to our own group, in one that was delegated to us and holds no process itself', async () => {
    const { files, groups } = createFakeCgroups({
      own: OWN,
      groups: { [OWN]: { members: [10] }, [ABOVE]: {} },
    });
    assert.deepEqual(await findCgroupParent(files), { version: 2, directory: AT + ABOVE });
    assert.ok(groups.get(AT + ABOVE)?.handsDown.has('memory'));
  });

  test('is nowhere when the group above holds processes, and no group is changed', async () => {
    const { files, groups } = createFakeCgroups({
      own: OWN,
      groups: { [OWN]: { members: [10] }, [ABOVE]: { members: [11] } },
    });
    assert.equal(await findCgroupParent(files), undefined);
    for (const group of groups.values()) assert.equal(group.handsDown.size, 0);
  });

  test('is in a slice only when that hands memory down already: what it hands down is for systemd to say', async () => {
    const [scope, slice] = ['/user.slice/app.slice/term.scope', '/user.slice/app.slice'];
    const find = async (handsDown: boolean) =>
      await findCgroupParent(
        createFakeCgroups({ own: scope, groups: { [scope]: { members: [10] }, [slice]: { handsDown } } })
          .files,
      );
    assert.equal(await find(false), undefined);
    assert.deepEqual(await find(true), { version: 2, directory: AT + slice });
  });

  test('is nowhere when the groups belong to somebody else, or there is no /proc', async () => {
    const { files } = createFakeCgroups({
      own: OWN,
      groups: { [OWN]: { members: [10], root: true }, [ABOVE]: { handsDown: true, root: true } },
    });
    assert.equal(await findCgroupParent(files), undefined);
    const none: CgroupFiles = { ...files, read: () => Promise.reject(new Error('ENOENT')) };
    assert.equal(await findCgroupParent(none), undefined);
  });

  test('is nowhere in a container that sees a group outside of what is mounted', async () => {
    const { files } = createFakeCgroups({ own: OWN, groups: { [ABOVE]: { handsDown: true } } });
    const mountinfo = `30 23 0:26 /docker/abc ${AT} ro - cgroup2 cgroup rw\n`;
    const read: CgroupFiles['read'] = async (file) =>
      file === '/proc/self/mountinfo' ? mountinfo : await files.read(file);
    assert.equal(await findCgroupParent({ ...files, read }), undefined);
  });
});

describe('the place for memory groups (cgroup version 1)', () => {
  const find = async (mount: string, group: string) => {
    const rows: { readonly [file: string]: string } = {
      '/proc/self/mountinfo': `35 31 0:32 ${mount} rw shared:9 - cgroup cgroup rw,memory\n41 31 0:38 / /u rw - cgroup2 cgroup2 rw\n`,
      '/proc/self/cgroup': `9:cpu,cpuacct:/c\n4:memory:${group}\n0::/\n`,
    };
    const { files } = createFakeCgroups({ own: '/', groups: {} });
    return await findCgroupParent({
      ...files,
      read: async (file) => await Promise.resolve(rows[file] ?? ''),
      mayWrite: async (file) => await Promise.resolve(file.startsWith('/cg/')),
    });
  };

  test('is below our own group, as the mount shows it', async () => {
    assert.deepEqual(await find('/ /cg/memory', '/a/b'), { version: 1, directory: '/cg/memory/a/b' });
    assert.deepEqual(await find('/docker/x /cg/memory', '/docker/x'), {
      version: 1,
      directory: '/cg/memory',
    });
    assert.deepEqual(await find('/ /cg/my\\040memory', '/a'), { version: 1, directory: '/cg/my memory/a' });
  });

  test('is nowhere when the group is not mounted or not ours', async () => {
    assert.equal(await find('/docker/x /cg/memory', '/docker/y'), undefined);
    assert.equal(await find('/ /sys/fs/cgroup/memory', '/a'), undefined);
  });
});

describe('a memory group (cgroup version 2)', () => {
  const directory = `${AT}${ABOVE}/anneal-train-a1`;
  const group = { version: 2, directory, limitBytes: 2 ** 26 } as const;
  const setting = { own: OWN, groups: { [OWN]: { members: [10, 11] }, [ABOVE]: { handsDown: true } } };

  test('has its limit without swap, takes the command, and tells kills and whether the limit was reached', async () => {
    const { files, groups } = createFakeCgroups(setting);
    await makeMemoryGroup(files, group);
    await enterMemoryGroup(files, group, 11);
    const made = groups.get(directory);
    assert.deepEqual([made?.files.get('memory.max'), made?.files.get('memory.swap.max')], ['67108864', '0']);
    assert.deepEqual([...(made?.members ?? [])], [11]);
    assert.deepEqual([...(groups.get(AT + OWN)?.members ?? [])], [10]);
    made?.files.set('memory.events', 'low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n');
    assert.deepEqual(await readMemoryEvidence(files, group), { kills: 2, atLimit: true });
    made?.files.set('memory.events', 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n');
    assert.deepEqual(await readMemoryEvidence(files, group), { kills: 1, atLimit: false });
  });

  test('is not left behind when the limit cannot be set', async () => {
    const { files, groups } = createFakeCgroups({ ...setting, groups: { ...setting.groups, [ABOVE]: {} } });
    await assert.rejects(makeMemoryGroup(files, group), { code: 'ENOENT' });
    assert.equal(groups.has(directory), false);
  });

  test('takes the place of one that somebody left under its name', async () => {
    const { files, groups, killed } = createFakeCgroups(setting);
    await makeMemoryGroup(files, group);
    await enterMemoryGroup(files, group, 999_999_999);
    await makeMemoryGroup(files, { ...group, limitBytes: 2 ** 20 });
    assert.deepEqual(killed, [999_999_999]);
    assert.equal(groups.get(directory)?.files.get('memory.max'), '1048576');
  });

  test('is removed with the groups that the command made in it, and what runs in them', async () => {
    const { files, groups, killed } = createFakeCgroups(setting);
    await makeMemoryGroup(files, group);
    await files.makeDirectory(`${directory}/inner`);
    await files.write(`${directory}/inner/cgroup.procs`, '999999998');
    await removeMemoryGroup(files, group);
    assert.deepEqual(
      [killed, [...groups.keys()].filter((name) => name.startsWith(directory))],
      [[999_999_998], []],
    );
    await removeMemoryGroup(files, group);
  });

  test('is swept when nothing is in it; others and groups that are in use stay', async () => {
    const { files, groups } = createFakeCgroups(setting);
    const parent = { version: 2, directory: AT + ABOVE } as const;
    for (const name of ['anneal-old-a1', 'anneal-busy-a1', 'other'])
      await files.makeDirectory(`${AT}${ABOVE}/${name}`);
    await files.write(`${AT}${ABOVE}/anneal-busy-a1/cgroup.procs`, '999999997');
    assert.deepEqual(await sweepMemoryGroups(files, parent, 59 * 60_000), []);
    assert.deepEqual(await sweepMemoryGroups(files, parent, 61 * 60_000), [`${AT}${ABOVE}/anneal-old-a1`]);
    assert.deepEqual([...groups.keys()].slice(-2), [`${AT}${ABOVE}/anneal-busy-a1`, `${AT}${ABOVE}/other`]);
  });
});
