import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { watchDirectory } from '../../adapters/attempt-files/watch-directory.js';
import { hasErrorCode } from '../../adapters/file-store/store-errors.js';
import type { PodPaths } from '../../core/pod-layout.js';
import { readVolumeText, withSafePath } from './volume-files.js';

/** How the step's container came to its end. */
export type PodCommandEnd =
  | {
      readonly kind: 'ended';
      /** As a shell gives it. */
      readonly exitCode: number;
      readonly endedBy?: 'timeout' | 'signal';
      /** Why it was not started. */
      readonly refused?: string;
      readonly memoryKills: number;
    }
  /** The container is gone and left no exit code: killed from outside, or for lack of memory. */
  | { readonly kind: 'vanished' }
  /** This container was told to end, and no command ever ran. */
  | { readonly kind: 'never-ran' };

/**
 * Waits for the end of the step's container: for the exit code that its wrapper writes, or for the end of the pipe that the wrapper held.
 * @param told aborted when this container was told to end, which happens after the other one is gone.
 */
export async function watchCommand(paths: PodPaths, told: AbortSignal): Promise<PodCommandEnd> {
  const waker = createWaker(paths, told);
  let pipe: FileHandle | undefined;
  let toldForMs = 0;
  try {
    for (;;) {
      pipe ??= await openPipe(paths);
      // Looked at in this order: what was written before the end is then seen.
      const isGone = pipe === undefined ? toldForMs > WITHOUT_PIPE_MS : await isClosed(pipe);
      const ended = await readEnd(paths);
      if (ended) return ended;
      if (isGone) return (await hasStarted(paths)) ? { kind: 'vanished' } : { kind: 'never-ran' };
      const before = performance.now();
      await waker.next();
      if (told.aborted) toldForMs += performance.now() - before;
    }
  } finally {
    waker.close();
    await pipe?.close();
  }
}

const POLL_MS = 200;
/** What a container that may still be starting its wrapper gets, after this one was told to end. */
const WITHOUT_PIPE_MS = 2_000;

async function hasStarted({ root, started }: PodPaths): Promise<boolean> {
  return (await readVolumeText(root, started)) !== undefined;
}

async function readEnd(paths: PodPaths): Promise<PodCommandEnd | undefined> {
  const read = async (file: string) => await readVolumeText(paths.root, file);
  const exit = await read(paths.exit);
  if (exit === undefined || !/^\d{1,3}$/.test(exit)) return undefined;
  const [endedBy, refused, kills] = [
    await read(paths.endedBy),
    await read(paths.refused),
    await read(paths.memoryKills),
  ];
  return {
    kind: 'ended',
    exitCode: Number(exit),
    memoryKills: Number(kills ?? 0) || 0,
    ...(endedBy === 'timeout' || endedBy === 'signal' ? { endedBy } : {}),
    ...(refused === undefined ? {} : { refused }),
  };
}

/** The pipe, once the wrapper holds it: before, it would look closed. */
async function openPipe(paths: PodPaths): Promise<FileHandle | undefined> {
  if (!(await hasStarted(paths))) return undefined;
  try {
    const handle = await withSafePath(
      paths.root,
      paths.alive,
      async (safePath) =>
        await open(safePath, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW),
    );
    if ((await handle.stat()).isFIFO()) return handle;
    await handle.close();
    return undefined;
  } catch {
    // Something else is in its place: this container is told when the other one is gone.
    return undefined;
  }
}

async function isClosed(pipe: FileHandle): Promise<boolean> {
  try {
    return (await pipe.read(Buffer.alloc(1_024), 0, 1_024, null)).bytesRead === 0;
  } catch (error) {
    if (hasErrorCode(error, 'EAGAIN')) return false;
    throw error;
  }
}

function createWaker(paths: PodPaths, told: AbortSignal): { next(): Promise<void>; close(): void } {
  let waker = new AbortController();
  const wake = () => waker.abort();
  const watcher = watchDirectory(paths.control, wake);
  told.addEventListener('abort', wake);
  return {
    next: async () => {
      await delay(POLL_MS, undefined, { signal: waker.signal }).catch(() => undefined);
      waker = new AbortController();
    },
    close: () => {
      watcher.close();
      told.removeEventListener('abort', wake);
    },
  };
}
