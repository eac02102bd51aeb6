import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { isSameProcess, readProcessIdentity } from './process-identity.js';
import { readProcessOrigin, type ProcessOrigin } from './process-origin.js';

/** Where a lock lives, and how long to wait for it. */
export interface ProcessLockOptions {
  /** A folder of this lock alone. */
  readonly directory: string;
  /** What is being waited for, in words; said once through `onWait`. */
  readonly onWait?: (holderPid: number) => void;
  /** Default 15 minutes: the longest thing done under a lock is an installation. */
  readonly timeoutMs?: number;
  /** Default that of this process; for tests. */
  readonly origin?: ProcessOrigin;
}

/**
 * Runs `work` while no other process holds the same lock: of this machine, of its containers, and of machines that share the folder.
 *
 * Each contender announces itself with a file that is named after its identity, then looks: it holds the lock if it sees no
 * other live one, else it withdraws and tries again. A dead contender's file is named after a process that will never live
 * again, so anybody may remove it: a lock cannot be left behind, and no take-over can hit a living holder. A pid of another container or
 * machine says nothing here; such a contender lives as long as it touches its file.
 */
export async function withProcessLock<T>(options: ProcessLockOptions, work: () => Promise<T>): Promise<T> {
  const [self, origin] = await Promise.all([
    readProcessIdentity(process.pid),
    options.origin ?? readProcessOrigin(),
  ]);
  const { boot, namespace, host } = origin;
  const name = [process.pid, self?.startedAt ?? '', randomUUID(), boot, namespace, host].join('~');
  const file = path.join(options.directory, name);
  await mkdir(options.directory, { recursive: true });
  await acquire(file, origin, options);
  const touching = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touching.unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await rm(file, { force: true });
  }
}

const TOUCH_MS = 30_000;
/** A container that was paused for a while still holds its lock. */
const FOREIGN_ALIVE_MS = 10 * 60_000;

async function acquire(file: string, origin: ProcessOrigin, options: ProcessLockOptions): Promise<void> {
  const deadline = performance.now() + (options.timeoutMs ?? 15 * 60_000);
  let told = false;
  for (;;) {
    await writeFile(file, '');
    const holder = await findOther(file, origin, options.directory);
    if (holder === undefined) return;
    await rm(file, { force: true });
    if (!told) options.onWait?.(holder.pid);
    told = true;
    if (performance.now() > deadline) throw new Error(heldMessage(holder, options.directory));
    // Random, so that two contenders that saw each other do not meet again.
    await delay(20 + Math.random() * 80);
  }
}

interface Holder {
  readonly pid: number;
  readonly file: string;
  /** Set for a process that cannot be seen from here. */
  readonly foreign?: string;
}

function heldMessage({ pid, file, foreign }: Holder, directory: string): string {
  return foreign === undefined
    ? `Process ${pid} still holds the lock ${directory}. End it, then try again.`
    : `Process ${pid} of another container or machine ("${foreign}") still holds the lock ${directory}. End it there, or remove ${file} if it does not run any more, then try again.`;
}

async function findOther(own: string, origin: ProcessOrigin, directory: string): Promise<Holder | undefined> {
  for (const name of await readdir(directory)) {
    if (name === path.basename(own)) continue;
    const [pid, startedAt, , boot = origin.boot, namespace = origin.namespace, host = origin.host] =
      name.split('~');
    if (pid === undefined || startedAt === undefined) continue;
    const file = path.join(directory, name);
    const foreign = isForeign({ boot, namespace, host }, origin);
    const lives = foreign ? await isTouched(file) : await isSameProcess({ pid: Number(pid), startedAt });
    if (lives) return { pid: Number(pid), file, ...(foreign && { foreign: host }) };
    await rm(file, { force: true });
  }
  return undefined;
}

/** Another boot of a machine of this name is over, and so are its processes: those are told by their start. */
function isForeign(other: ProcessOrigin, here: ProcessOrigin): boolean {
  if (other.boot === here.boot)
    return other.namespace !== here.namespace || (here.boot === '' && other.host !== here.host);
  return other.host !== here.host;
}

async function isTouched(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs < FOREIGN_ALIVE_MS;
}
