import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { hasErrorCode } from '../file-store/store-errors.js';
import type { CgroupFiles } from './cgroup-files.js';
import type { CgroupParent } from './find-cgroup-parent.js';

/** The control group of one attempt, as its directory on this machine remembers it. */
export interface MemoryGroup extends CgroupParent {
  /** What its processes may use together; absent: the group only counts. */
  readonly limitBytes?: number;
}

/** What the kernel says of a group at its end. */
export interface MemoryEvidence {
  /** Processes of the group that the kernel killed for lack of memory, the machine's or the group's own. */
  readonly kills: number;
  /** Whether the group's own limit was reached, so that it was not the machine's memory that was short. */
  readonly atLimit: boolean;
}

/** Name of the group of an attempt. */
export function memoryGroupName(attempt: string): string {
  return `${PREFIX}${attempt}`;
}

/**
 * Makes a group with its limit, which includes swap where the kernel can tell; one of that name that somebody left is ended first.
 * @throws the operating system's error; nothing is left then.
 */
export async function makeMemoryGroup(files: CgroupFiles, group: MemoryGroup): Promise<void> {
  const at = (name: string) => path.posix.join(group.directory, name);
  await files.makeDirectory(group.directory).catch(async (error: unknown) => {
    if (!hasErrorCode(error, 'EEXIST')) throw error;
    await removeMemoryGroup(files, group);
    await files.makeDirectory(group.directory);
  });
  if (group.limitBytes === undefined) return;
  const limit = String(group.limitBytes);
  const swap: readonly [string, string] =
    group.version === 2 ? ['memory.swap.max', '0'] : ['memory.memsw.limit_in_bytes', limit];
  try {
    await files.write(at(group.version === 2 ? 'memory.max' : 'memory.limit_in_bytes'), limit);
  } catch (error) {
    await removeMemoryGroup(files, group).catch(() => undefined);
    throw error;
  }
  // A kernel that does not count swap has no such file.
  await files.write(at(swap[0]), swap[1]).catch(() => undefined);
}

/** Moves a process into the group; what it starts from then on is in it, too. @throws the operating system's error. */
export async function enterMemoryGroup(files: CgroupFiles, group: MemoryGroup, pid: number): Promise<void> {
  await files.write(path.posix.join(group.directory, 'cgroup.procs'), String(pid));
}

/** What happened in the group; nothing when it is gone. */
export async function readMemoryEvidence(files: CgroupFiles, group: MemoryGroup): Promise<MemoryEvidence> {
  const read = async (name: string) =>
    await files.read(path.posix.join(group.directory, name)).catch(() => '');
  if (group.version === 2) {
    const events = await read('memory.events');
    return { kills: counter(events, 'oom_kill'), atLimit: counter(events, 'oom') > 0 };
  }
  const kills = counter(await read('memory.oom_control'), 'oom_kill');
  // `memory.failcnt` stays at 0 when the limit with swap is met first: seen.
  const most = Math.max(
    Number(await read('memory.max_usage_in_bytes')),
    Number(await read('memory.memsw.max_usage_in_bytes')),
  );
  return { kills, atLimit: group.limitBytes !== undefined && most >= group.limitBytes - CHARGED_AT_ONCE };
}

/**
 * Kills whatever is left in the group, groups below it included, and removes it. Nothing there is not an error.
 * @throws Error when it cannot be removed within 5 s.
 */
export async function removeMemoryGroup(
  files: CgroupFiles,
  { directory }: Pick<MemoryGroup, 'directory'>,
): Promise<void> {
  const deadline = performance.now() + REMOVE_MS;
  for (;;) {
    for (const below of await files.listDirectories(directory).catch(() => []))
      await removeMemoryGroup(files, { directory: path.posix.join(directory, below) });
    await killMembers(files, directory);
    try {
      await files.removeDirectory(directory);
      return;
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return;
      // Processes that were killed take a moment to be gone.
      if (!hasErrorCode(error, 'EBUSY', 'ENOTEMPTY') || performance.now() > deadline)
        throw new Error(
          `The control group ${directory} cannot be removed: ${error instanceof Error ? error.message : String(error)}.`,
          { cause: error },
        );
    }
    await delay(POLL_MS);
  }
}

/**
 * Removes groups of attempts that nobody remembers, as when the project's folder was deleted while they ran: those without a process, an
 * hour old at least.
 * @returns their directories.
 */
export async function sweepMemoryGroups(
  files: CgroupFiles,
  parent: CgroupParent,
  nowMs: number,
): Promise<string[]> {
  const names = await files.listDirectories(parent.directory).catch(() => []);
  const removed: string[] = [];
  for (const name of names.filter((one) => one.startsWith(PREFIX))) {
    const directory = path.posix.join(parent.directory, name);
    const modifiedAtMs = await files.modifiedAtMs(directory).catch(() => nowMs);
    if (modifiedAtMs > nowMs - OLD_MS || (await readMembers(files, directory)).length > 0) continue;
    // The kernel refuses when a process or a group is in it after all.
    const gone = await files.removeDirectory(directory).then(
      () => true,
      () => false,
    );
    if (gone) removed.push(directory);
  }
  return removed;
}

const PREFIX = 'anneal-';
/** The kernel charges pages in batches, so that the last bytes below a limit may never be counted. */
const CHARGED_AT_ONCE = 2 ** 20;
const POLL_MS = 20;
const REMOVE_MS = 5_000;
const OLD_MS = 60 * 60_000;

/** Rows of name and number. */
function counter(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

async function readMembers(files: CgroupFiles, directory: string): Promise<number[]> {
  const text = await files.read(path.posix.join(directory, 'cgroup.procs')).catch(() => '');
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid);
}

async function killMembers(files: CgroupFiles, directory: string): Promise<void> {
  if ((await readMembers(files, directory)).length === 0) return;
  try {
    // The kernel's own way, from 5.14 on, misses no fork and no other process of a number used again.
    await files.write(path.posix.join(directory, 'cgroup.kill'), '1');
  } catch {
    for (const pid of await readMembers(files, directory)) sendKill(pid);
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone meanwhile.
  }
}
