import path from 'node:path';

import type { CgroupFiles } from './cgroup-files.js';

/** A directory of the cgroup file system in which this process may make groups whose memory is limited and counted. */
export interface CgroupParent {
  readonly version: 1 | 2;
  readonly directory: string;
}

/**
 * Where this process may make memory groups, if anywhere: below its own group or, as version 2 allows no processes beside groups, next
 * to it. The group must be writable (delegated, or this is root); `undefined` on systems without control groups.
 * Sources: kernel documentation, admin-guide/cgroup-v2.rst ("No Internal Process Constraint", "Delegation Containment") and
 * cgroup-v1/memory.rst; systemd's CGROUP_DELEGATION.
 */
export async function findCgroupParent(files: CgroupFiles): Promise<CgroupParent | undefined> {
  try {
    const mounts = readMounts(await files.read('/proc/self/mountinfo'));
    const own = readOwnGroups(await files.read('/proc/self/cgroup'));
    return own.memory === undefined
      ? await findUnified(files, directoryOf(mounts.unified, own.unified))
      : await findVersion1(files, directoryOf(mounts.memory, own.memory));
  } catch {
    // Not Linux, or a /proc that is hidden.
    return undefined;
  }
}

interface Mount {
  /** Group that is mounted there, as `/proc/self/cgroup` names groups. */
  readonly root: string;
  readonly at: string;
}

/** Fields of a row: id, parent, device, root, mount point, options, optional fields up to `-`, type, source, options of the file system. */
function readMounts(text: string): { readonly memory?: Mount; readonly unified?: Mount } {
  let memory: Mount | undefined;
  let unified: Mount | undefined;
  for (const row of text.split('\n')) {
    const [mount = '', fileSystem = ''] = row.split(' - ');
    const [, , , root, at] = mount.split(' ');
    const [type, , options = ''] = fileSystem.split(' ');
    if (root === undefined || at === undefined) continue;
    const found = { root: unescape(root), at: unescape(at) };
    if (type === 'cgroup2') unified ??= found;
    if (type === 'cgroup' && options.split(',').includes('memory')) memory ??= found;
  }
  return { ...(memory && { memory }), ...(unified && { unified }) };
}

/** Blanks and backslashes are written as `\040` there. */
function unescape(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Rows: hierarchy, controllers, group. Version 2 is hierarchy 0, without controllers. */
function readOwnGroups(text: string): { readonly memory?: string; readonly unified?: string } {
  let memory: string | undefined;
  let unified: string | undefined;
  for (const row of text.split('\n')) {
    const [, id, controllers = '', group] = /^(\d+):([^:]*):(.*)$/.exec(row) ?? [];
    if (group === undefined) continue;
    if (id === '0' && controllers === '') unified = group;
    if (controllers.split(',').includes('memory')) memory = group;
  }
  return { ...(memory !== undefined && { memory }), ...(unified !== undefined && { unified }) };
}

/** A group outside of what is mounted (in a container, the host's) has no directory. */
function directoryOf(mount: Mount | undefined, group: string | undefined): string | undefined {
  if (mount === undefined || group === undefined) return undefined;
  const below = path.posix.relative(mount.root, group);
  return below.startsWith('..') ? undefined : path.posix.join(mount.at, below);
}

async function findVersion1(
  files: CgroupFiles,
  directory: string | undefined,
): Promise<CgroupParent | undefined> {
  if (directory === undefined || !(await files.mayWrite(directory))) return undefined;
  return { version: 1, directory };
}

async function findUnified(files: CgroupFiles, own: string | undefined): Promise<CgroupParent | undefined> {
  if (own === undefined) return undefined;
  for (const directory of [own, path.posix.dirname(own)])
    if (await givesMemory(files, directory).catch(() => false)) return { version: 2, directory };
  return undefined;
}

async function givesMemory(files: CgroupFiles, directory: string): Promise<boolean> {
  const at = (name: string) => path.posix.join(directory, name);
  // Moving a process takes the right to write to the group that is above both the old and the new one.
  if (!(await files.mayWrite(directory)) || !(await files.mayWrite(at('cgroup.procs')))) return false;
  const enabled = async () =>
    (await files.read(at('cgroup.subtree_control'))).split(/\s+/).includes('memory');
  if (await enabled()) return true;
  // What a slice hands down is systemd's to say; services and scopes are what it delegates.
  if (directory.endsWith('.slice')) return false;
  // Refused by the kernel (EBUSY) while processes are in the group itself.
  await files.write(at('cgroup.subtree_control'), '+memory');
  return await enabled();
}
