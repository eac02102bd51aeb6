import path from 'node:path';

import type { CgroupFiles } from '../../src/adapters/process-executor/cgroup-files.js';

/** A made-up group of version 2. */
interface FakeGroup {
  /** What it hands down: `cgroup.subtree_control`. */
  readonly handsDown: Set<string>;
  readonly members: Set<number>;
  readonly files: Map<string, string>;
  readonly writable: boolean;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/**
 * The part of the kernel's version 2 that Anneal uses, with its rules: a group's files are there only when its parent hands the
 * controller down, a group with processes hands nothing down, a process moves only below a group that may be written.
 */
export function createFakeCgroups(setting: {
  readonly own: string;
  /** Groups that are there, below `/sys/fs/cgroup`. */
  readonly groups: {
    readonly [group: string]: {
      readonly handsDown?: boolean;
      readonly members?: number[];
      readonly root?: true;
    };
  };
  /** A kernel older than 5.14 has no `cgroup.kill`. */
  readonly canKill?: boolean;
}) {
  const at = '/sys/fs/cgroup';
  const groups = new Map<string, FakeGroup>();
  for (const [name, { handsDown = false, members = [], root = false }] of Object.entries(setting.groups))
    groups.set(path.posix.join(at, name), {
      handsDown: new Set(handsDown ? ['memory'] : []),
      members: new Set(members),
      files: new Map(),
      writable: !root,
    });
  const killed: number[] = [];
  const find = (file: string) => {
    const group = groups.get(path.posix.dirname(file));
    if (group === undefined) throw systemError('ENOENT');
    return { group, name: path.posix.basename(file) };
  };
  const write = (file: string, text: string) => {
    const { group, name } = find(file);
    if (name === 'cgroup.subtree_control') {
      if (!group.writable) throw systemError('EACCES');
      if (group.members.size > 0) throw systemError('EBUSY');
      group.handsDown.add(text.replace('+', ''));
    } else if (name === 'cgroup.procs') {
      for (const other of groups.values()) other.members.delete(Number(text));
      group.members.add(Number(text));
    } else if (name === 'cgroup.kill' && setting.canKill !== false) {
      killed.push(...group.members);
      group.members.clear();
    } else if (group.files.has(name)) group.files.set(name, text);
    else throw systemError('ENOENT');
  };
  const read = (file: string) => {
    if (file === '/proc/self/cgroup') return `0::${setting.own}\n`;
    if (file === '/proc/self/mountinfo')
      return `30 23 0:26 / ${at} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n`;
    const { group, name } = find(file);
    if (name === 'cgroup.subtree_control') return [...group.handsDown].join(' ');
    if (name === 'cgroup.procs') return [...group.members].join('\n');
    const found = group.files.get(name);
    if (found === undefined) throw systemError('ENOENT');
    return found;
  };
  const makeDirectory = (directory: string) => {
    const parent = groups.get(path.posix.dirname(directory));
    if (groups.has(directory)) throw systemError('EEXIST');
    if (!parent?.writable) throw systemError('EACCES');
    const names = parent.handsDown.has('memory') ? ['memory.max', 'memory.swap.max', 'memory.events'] : [];
    const files = new Map(names.map((name) => [name, '']));
    groups.set(directory, { handsDown: new Set(), members: new Set(), files, writable: true });
  };
  const removeDirectory = (directory: string) => {
    const group = groups.get(directory);
    if (group === undefined) throw systemError('ENOENT');
    const below = [...groups.keys()].some((name) => path.posix.dirname(name) === directory);
    if (group.members.size > 0 || below) throw systemError('EBUSY');
    groups.delete(directory);
  };
  const files: CgroupFiles = {
    read: async (file) => await Promise.resolve().then(() => read(file)),
    write: async (file, text) => await Promise.resolve().then(() => write(file, text)),
    makeDirectory: async (directory) => await Promise.resolve().then(() => makeDirectory(directory)),
    removeDirectory: async (directory) => await Promise.resolve().then(() => removeDirectory(directory)),
    listDirectories: async (directory) =>
      await Promise.resolve(
        [...groups.keys()]
          .filter((name) => path.posix.dirname(name) === directory)
          .map((name) => path.posix.basename(name)),
      ),
    mayWrite: async (file) =>
      await Promise.resolve((groups.get(file) ?? groups.get(path.posix.dirname(file)))?.writable === true),
    modifiedAtMs: async () => await Promise.resolve(0),
  };
  return { files, groups, killed };
}
