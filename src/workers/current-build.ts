import { watch, type FSWatcher } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

const POINTER = 'current';
const POLL_MS = 1_000;

/** Names the build that new runs use: one file in the builds directory, read by every worker of this machine. */
export async function makeCurrent(buildsDir: string, digest: string): Promise<void> {
  const temporary = path.join(buildsDir, `${POINTER}.${process.pid}.tmp`);
  await mkdir(buildsDir, { recursive: true });
  await writeFile(temporary, `${digest}\n`);
  await rename(temporary, path.join(buildsDir, POINTER));
}

/** The build that new runs use, or undefined before the first. */
export async function readCurrent(buildsDir: string): Promise<string | undefined> {
  try {
    return (await readFile(path.join(buildsDir, POINTER), 'utf8')).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Calls `onChange` with each build that becomes current, the present one first, one call at a time, until `signal` aborts. */
export async function followCurrent(
  buildsDir: string,
  signal: AbortSignal,
  onChange: (digest: string) => Promise<void>,
): Promise<void> {
  await mkdir(buildsDir, { recursive: true });
  let last: string | undefined;
  while (!signal.aborted) {
    const digest = await readCurrent(buildsDir);
    if (digest !== undefined && digest !== last) {
      last = digest;
      await onChange(digest);
    } else await changed(buildsDir, signal);
  }
}

/** Resolves when something in the directory changed, or after a while: a change that the file system does not tell is found too. */
async function changed(directory: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const watcher = watchQuietly(directory, finish);
    const timer = setTimeout(finish, POLL_MS);
    signal.addEventListener('abort', finish, { once: true });
    function finish(): void {
      watcher?.close();
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    }
  });
}

/** A machine may have no watches left (inotify's limits): the poll finds the change. */
function watchQuietly(directory: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, onChange);
    watcher.on('error', () => undefined);
    return watcher;
  } catch {
    return undefined;
  }
}
