import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** More than any of the small disks holds. */
export const MORE_THAN_A_DISK = 4_000_000;

/**
 * Mounts a file system of about 2.5 MB for the time of a piece of work: ext4 in a file behind a loop device or, where the machine has no
 * such devices, a part of its memory. Only root may.
 * @returns what kind it was.
 */
export async function withSmallDisk(work: (disk: string) => Promise<void>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'anneal-disk-'));
  const disk = path.join(folder, 'mounted');
  await mkdir(disk);
  try {
    const kind = await mount(path.join(folder, 'image'), disk);
    try {
      await work(disk);
    } finally {
      // Lazily: what still has a file open there must not keep the test from ending.
      run('umount', '-l', disk);
    }
    return kind;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const IMAGE_BYTES = 4 * 1024 * 1024;

async function mount(image: string, disk: string): Promise<string> {
  const handle = await open(image, 'w');
  await handle.truncate(IMAGE_BYTES);
  await handle.close();
  try {
    // No blocks for root alone, who runs this.
    run('mkfs.ext4', '-q', '-F', '-m', '0', image);
    run('mount', '-t', 'ext4', '-o', 'loop', image, disk);
    return 'ext4 behind a loop device';
  } catch (error) {
    run('mount', '-t', 'tmpfs', '-o', 'size=2560k', 'tmpfs', disk);
    return `tmpfs, as ext4 behind a loop device is not to be had here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
