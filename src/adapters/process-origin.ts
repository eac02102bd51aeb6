import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Where a pid means something. No part holds `~` or `/`. */
export interface ProcessOrigin {
  /** This boot of the machine; empty where the system does not tell. */
  readonly boot: string;
  /** The pid namespace, that of a container; empty where there are none. */
  readonly namespace: string;
  readonly host: string;
}

/** Where this process runs. */
export async function readProcessOrigin(): Promise<ProcessOrigin> {
  const [boot, namespace] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  return { boot: boot.slice(0, 8), namespace: namespace.replace(/\D/g, ''), host: segment(hostname()) };
}

function segment(name: string): string {
  return name.replace(/[^A-Za-z0-9.-]/g, '-').slice(0, 64);
}
