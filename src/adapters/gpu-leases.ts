import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { placeFile, withTemporaryFile } from './file-store/place-file.js';
import { hasErrorCode } from './file-store/store-errors.js';
import type { ProcessIdentity } from './process-identity.js';
import { isSameProcess } from './process-identity.js';
import { withProcessLock } from './process-lock.js';
import type { RunProgram } from './run-program.js';

/** The folder of the lease files in the user's cache directory: one for all projects, since they share the machine's GPUs. */
export function gpuLeasesDirectory(cacheDirectory: string): string {
  return path.join(cacheDirectory, 'gpu-leases');
}

/** Who holds a lease. */
export interface GpuHolder extends ProcessIdentity {
  /** File that names, as `identity`, a process that uses the GPUs as well and may outlive the holder. */
  readonly commandFile?: string;
}

/** What an executor needs to know of the machine's GPUs. */
export interface GpuInventory {
  /** Folder of the lease files; one for all workers of a machine. */
  readonly leasesDir: string;
  /** Ids for `CUDA_VISIBLE_DEVICES`; empty on a machine without. Asked until there is an answer. */
  discover(): Promise<readonly string[]>;
}

/** The GPUs of this machine by `nvidia-smi`, less those that the worker's own `CUDA_VISIBLE_DEVICES` hides. */
export function createGpuInventory(deps: {
  readonly leasesDir: string;
  readonly run: RunProgram;
  readonly env: NodeJS.ProcessEnv;
}): GpuInventory {
  let devices: Promise<readonly string[]> | undefined;
  const ask = async () => {
    const result = await deps.run({ file: 'nvidia-smi', args: ['-L'], env: deps.env, timeoutMs: 20_000 });
    if (result.code === 0)
      return visibleDevices(readDeviceList(result.stdout), deps.env['CUDA_VISIBLE_DEVICES']);
    // The driver may be loading or busy: a failure says nothing about the next time.
    devices = undefined;
    return [];
  };
  return { leasesDir: deps.leasesDir, discover: () => (devices ??= ask()) };
}

/** Ids of what `nvidia-smi -L` lists: of a GPU that is cut into MIG instances the instances, else the GPU. */
export function readDeviceList(text: string): string[] {
  const devices: { readonly gpu: string; readonly instances: string[] }[] = [];
  for (const line of text.split('\n')) {
    const id = /\(UUID: ([^)\s]+)\)/.exec(line)?.[1];
    if (id === undefined) continue;
    if (/^GPU \d+:/.test(line)) devices.push({ gpu: id, instances: [] });
    else devices.at(-1)?.instances.push(id);
  }
  return devices.flatMap(({ gpu, instances }) => (instances.length > 0 ? instances : [gpu]));
}

/**
 * Leases GPUs for a process: one file each, which names its holder and counts while that process or its command lives, so that nothing
 * leaks.
 * All that are asked or none: two attempts never wait for each other's half.
 */
export async function leaseGpus(
  from: { readonly leasesDir: string; readonly devices: readonly string[] },
  count: number,
  holder: GpuHolder,
): Promise<readonly string[] | undefined> {
  return await withProcessLock({ directory: path.join(from.leasesDir, 'lock') }, async () => {
    const free: string[] = [];
    for (const device of from.devices) {
      if (!(await isHeld(leaseFile(from.leasesDir, device)))) free.push(device);
    }
    if (free.length < count) return undefined;
    const leased = free.slice(0, count);
    for (const device of leased) await writeLease(leaseFile(from.leasesDir, device), holder);
    return leased;
  });
}

/** Gives leases back; those of a process that is gone need not be. */
export async function releaseGpus(leasesDir: string, devices: readonly string[]): Promise<void> {
  for (const device of devices) await rm(leaseFile(leasesDir, device), { force: true });
}

function visibleDevices(found: readonly string[], visible: string | undefined): readonly string[] {
  if (visible === undefined) return found;
  return visible.split(',').flatMap((entry) => {
    const name = entry.trim();
    const device = /^\d+$/.test(name)
      ? found[Number(name)]
      : found.find((id) => name !== '' && id.startsWith(name));
    return device === undefined ? [] : [device];
  });
}

function leaseFile(leasesDir: string, device: string): string {
  return path.join(leasesDir, `${device}.lease`);
}

async function isHeld(lease: string): Promise<boolean> {
  const holder = await readRecord<GpuHolder>(lease);
  if (holder === undefined) return false;
  if (await isSameProcess(holder)) return true;
  if (holder.commandFile === undefined) return false;
  const command = await readRecord<{ readonly identity: ProcessIdentity }>(holder.commandFile);
  return command !== undefined && (await isSameProcess(command.identity));
}

async function readRecord<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as T;
  } catch (error) {
    if (error instanceof SyntaxError || hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function writeLease(file: string, holder: GpuHolder): Promise<void> {
  await withTemporaryFile(path.dirname(file), async (temporary) => {
    await writeFile(temporary, JSON.stringify(holder));
    await placeFile(temporary, file);
  });
}
