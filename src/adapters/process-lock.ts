import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { isSameProcess, readProcessIdentity } from './process-identity.js';

/** Where a lock lives, and how long to wait for it. */
export interface ProcessLockOptions {
  /** A folder of this lock alone. */
  readonly directory: string;
  /** What is being waited for, in words; said once through `onWait`. */
  readonly onWait?: (holderPid: number) => void;
  /** Default 15 minutes: the longest thing done under a lock is an installation. */
  readonly timeoutMs?: number;
}

/**
 * Runs `work` while no other process of this machine holds the same lock.
 *
 * Each contender announces itself with a file that is named after its identity, then looks: it holds the lock if it sees no
 * other live one, else it withdraws and tries again. A dead contender's file is named after a process that will never live
 * again, so anybody may remove it: a lock cannot be left behind, and no take-over can hit a living holder.
 */
export async function withProcessLock<T>(options: ProcessLockOptions, work: () => Promise<T>): Promise<T> {
  const self = await readProcessIdentity(process.pid);
  const file = path.join(options.directory, `${process.pid}~${self?.startedAt ?? ''}~${randomUUID()}`);
  await mkdir(options.directory, { recursive: true });
  await acquire(file, options);
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function acquire(file: string, options: ProcessLockOptions): Promise<void> {
  const deadline = performance.now() + (options.timeoutMs ?? 15 * 60_000);
  let told = false;
  for (;;) {
    await writeFile(file, '');
    const holder = await findOther(file, options.directory);
    if (holder === undefined) return;
    await rm(file, { force: true });
    if (!told) options.onWait?.(holder);
    told = true;
    if (performance.now() > deadline) {
      throw new Error(`Process ${holder} still holds the lock ${options.directory}. End it, then try again.`);
    }
    // Random, so that two contenders that saw each other do not meet again.
    await delay(20 + Math.random() * 80);
  }
}

async function findOther(file: string, directory: string): Promise<number | undefined> {
  for (const name of await readdir(directory)) {
    if (name === path.basename(file)) continue;
    const [pid, startedAt] = name.split('~');
    if (pid === undefined || startedAt === undefined) continue;
    if (await isSameProcess({ pid: Number(pid), startedAt })) return Number(pid);
    await rm(path.join(directory, name), { force: true });
  }
  return undefined;
}
