import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ProcessIdentity } from '../adapters/process-identity.js';

/** The servers that Anneal starts on a laptop. */
export type LocalServerName = 'temporal' | 'mlflow';

/** What is remembered of a local server, in `<state folder>/<name>.json`; the ports outlive the process, so that links stay good. */
export interface ServerRecord {
  readonly name: LocalServerName;
  /** The port that clients use. */
  readonly port: number;
  /** The Web UI's, where it is another. */
  readonly uiPort?: number;
  /** The process that we started and, once it was healthy, its children; empty after a stop. */
  readonly processes: readonly ProcessIdentity[];
}

/** Reads a record; `undefined` when there is none, or one that cannot be understood. */
export async function readServerRecord(
  stateDir: string,
  name: LocalServerName,
): Promise<ServerRecord | undefined> {
  const text = await readFile(recordFile(stateDir, name), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && value.name === name ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces a record as a whole: a reader sees the old one or the new one. */
export async function writeServerRecord(stateDir: string, record: ServerRecord): Promise<void> {
  const file = recordFile(stateDir, record.name);
  await mkdir(stateDir, { recursive: true });
  await writeFile(`${file}.tmp`, `${JSON.stringify(record, null, 2)}\n`);
  await rename(`${file}.tmp`, file);
}

/** The log of a server, over all its starts. */
export function serverLogFile(stateDir: string, name: LocalServerName): string {
  return path.join(stateDir, `${name}.log`);
}

function recordFile(stateDir: string, name: LocalServerName): string {
  return path.join(stateDir, `${name}.json`);
}

function isRecord(value: unknown): value is ServerRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { name, port, uiPort, processes } = value as Partial<Record<keyof ServerRecord, unknown>>;
  return (
    typeof name === 'string' &&
    typeof port === 'number' &&
    (uiPort === undefined || typeof uiPort === 'number') &&
    Array.isArray(processes) &&
    processes.every(isIdentity)
  );
}

function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startedAt } = value as Partial<Record<keyof ProcessIdentity, unknown>>;
  return typeof pid === 'number' && typeof startedAt === 'string';
}
