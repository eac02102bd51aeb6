import { copyFileSync, fstatSync, statSync, truncateSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import path from 'node:path';

import { lastLines } from '../adapters/setup-error.js';

/** Output of the worker, over all its starts. What was there before it grew too large is beside it as `worker.log.1`, once. */
export function workerLogFile(stateDir: string): string {
  return path.join(stateDir, 'worker.log');
}

/** The log for a worker that starts: what is written to it lands at its end, wherever that is then. */
export async function openWorkerLog(stateDir: string): Promise<FileHandle> {
  const file = workerLogFile(stateDir);
  await mkdir(path.dirname(file), { recursive: true });
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size > MAXIMUM_LOG_BYTES) await rename(file, `${file}.1`);
  return await open(file, 'a');
}

/**
 * Called in the worker: as long as it runs its log does not grow beyond 20 MiB, or what is written in 10 seconds more. The output of a
 * worker that is run by hand goes elsewhere, and is left alone.
 * @returns ends it.
 */
export function keepWorkerLogSmall(
  stateDir: string,
  { fd = 1, limitBytes = MAXIMUM_LOG_BYTES, everyMs = LOOK_MS }: KeepSmallOptions = {},
): () => void {
  const file = workerLogFile(stateDir);
  const timer = setInterval(() => {
    try {
      rotateOwn(file, fd, limitBytes);
    } catch {
      // A full disk, say: the log goes on growing, and the next look tries again.
    }
  }, everyMs).unref();
  return () => clearInterval(timer);
}

/** What tests set. */
export interface KeepSmallOptions {
  /** Where the output goes. Default: standard output. */
  readonly fd?: number;
  readonly limitBytes?: number;
  readonly everyMs?: number;
}

/** The end of the worker's log, for a message about a worker that died. */
export async function readWorkerLogEnd(stateDir: string): Promise<string> {
  const handle = await open(workerLogFile(stateDir), 'r').catch(() => undefined);
  if (handle === undefined) return lastLines('');
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - END_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    return lastLines(buffer.subarray(0, bytesRead).toString('utf8'));
  } finally {
    await handle.close();
  }
}

const MAXIMUM_LOG_BYTES = 20 * 1024 * 1024;
const LOOK_MS = 10_000;
const END_BYTES = 64 * 1024;

/**
 * The file stays the same one, so that nobody who writes to it or follows it loses it: its content is copied and cut. Both in one turn, so
 * that nothing of this process is written in between.
 */
function rotateOwn(file: string, fd: number, limitBytes: number): void {
  const output = fstatSync(fd);
  if (!output.isFile() || output.size <= limitBytes) return;
  const named = statSync(file);
  if (named.dev !== output.dev || named.ino !== output.ino) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}
