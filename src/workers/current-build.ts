import { watch, type FSWatcher } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

const POINTER = 'current';
const POLL_MS = 1_000;

/** Which builds new runs use. */
export interface Routing {
  readonly current: string;
  /** A build that this share of new runs uses instead. */
  readonly ramp?: { readonly digest: string; readonly percent: number };
  /** What was current before. */
  readonly previous?: string;
}

/** Names the build that new runs use, and ends a ramp: one file in the builds directory, read by every worker that shares it. */
export async function makeCurrent(buildsDir: string, digest: string): Promise<void> {
  const before = await readRouting(buildsDir);
  const previous = before?.current === digest ? before.previous : before?.current;
  await writeRouting(buildsDir, { current: digest, ...(previous === undefined ? {} : { previous }) });
}

/** The build that new runs use, or undefined before the first. */
export async function readCurrent(buildsDir: string): Promise<string | undefined> {
  return (await readRouting(buildsDir))?.current;
}

/** Writes what new runs use, in one step. */
export async function writeRouting(buildsDir: string, { current, ramp, previous }: Routing): Promise<void> {
  const lines = [
    current,
    ...(ramp === undefined ? [] : [`ramp ${ramp.digest} ${ramp.percent}`]),
    ...(previous === undefined ? [] : [`previous ${previous}`]),
  ];
  const temporary = path.join(buildsDir, `${POINTER}.${process.pid}.tmp`);
  await mkdir(buildsDir, { recursive: true });
  await writeFile(temporary, `${lines.join('\n')}\n`);
  await rename(temporary, path.join(buildsDir, POINTER));
}

/** Which builds new runs use, or undefined before the first. */
export async function readRouting(buildsDir: string): Promise<Routing | undefined> {
  const text = await readFile(path.join(buildsDir, POINTER), 'utf8').catch(() => '');
  const [current = '', ...more] = text.split('\n').map((line) => line.trim());
  if (current === '') return undefined;
  const said = (word: string) =>
    more
      .find((line) => line.startsWith(`${word} `))
      ?.split(' ')
      .slice(1);
  const [digest, percent] = said('ramp') ?? [];
  const [previous] = said('previous') ?? [];
  return {
    current,
    ...(digest === undefined ? {} : { ramp: { digest, percent: Number(percent) } }),
    ...(previous === undefined ? {} : { previous }),
  };
}

/** Calls `onChange` with what new runs use, as it is and after each change, one call at a time, until `signal` aborts. */
export async function followRouting(
  buildsDir: string,
  signal: AbortSignal,
  onChange: (routing: Routing) => Promise<void>,
): Promise<void> {
  await mkdir(buildsDir, { recursive: true });
  let last: string | undefined;
  while (!signal.aborted) {
    const routing = await readRouting(buildsDir);
    const text = JSON.stringify(routing);
    if (routing !== undefined && text !== last) {
      last = text;
      await onChange(routing);
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
