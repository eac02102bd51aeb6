import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Where workers of one host say which pools they serve. */
export interface ServedPoolsPlace {
  /** The project's state on this machine. */
  readonly stateDir: string;
  /** Name of this machine in task queues; machines may share a disk. */
  readonly host: string;
}

interface Served {
  readonly host: string;
  readonly pools: readonly string[];
}

const TOUCH_MS = 30_000;
/** As long as a supervisor goes on without a worker: one that is being restarted still counts. */
export const SERVED_MS = 5 * 60_000;

/** Says which pools a worker serves, again and again until `signal`: the others of this machine pin runs to them. */
export async function announceServedPools(
  { stateDir, host }: ServedPoolsPlace,
  pools: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const file = path.join(directoryOf(stateDir), `${randomUUID()}.json`);
  const served: Served = { host, pools };
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(`${file}.tmp`, JSON.stringify(served));
  await rename(`${file}.tmp`, file);
  const timer = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, TOUCH_MS);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  if (signal.aborted) clearInterval(timer);
}

/** The pools that workers of this host serve, or served lately; what is older is removed. */
export async function readServedPools(
  { stateDir, host }: ServedPoolsPlace,
  nowMs: number,
): Promise<ReadonlySet<string>> {
  const directory = directoryOf(stateDir);
  const names = await readdir(directory).catch(() => []);
  const found = new Set<string>();
  for (const name of names) {
    const file = path.join(directory, name);
    const modified = await stat(file).catch(() => undefined);
    if (modified === undefined) continue;
    if (nowMs - modified.mtimeMs > SERVED_MS) await rm(file, { force: true });
    else if (name.endsWith('.json')) {
      const served = await readServed(file);
      if (served?.host === host) for (const pool of served.pools) found.add(pool);
    }
  }
  return found;
}

function directoryOf(stateDir: string): string {
  return path.join(stateDir, 'serving');
}

async function readServed(file: string): Promise<Served | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Served;
  } catch {
    return undefined;
  }
}
