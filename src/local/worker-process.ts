import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { endProcess, isSameProcess, readProcessIdentity } from '../adapters/process-identity.js';
import type { ProcessIdentity } from '../adapters/process-identity.js';
import { withProcessLock } from '../adapters/process-lock.js';
import { SetupError } from '../adapters/setup-error.js';
import { openWorkerLog, readWorkerLogEnd, workerLogFile } from './worker-log.js';

/** The worker process of a project on this machine, as it is remembered. */
export interface WorkerRecord {
  readonly process: ProcessIdentity;
  /** Stands for the settings that it was started with; a worker with other ones is started anew. */
  readonly settings: string;
}

/** How a worker is run: a program with arguments, never a shell. */
export interface WorkerCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** A worker that runs now. `exited` is there when this process started it; it resolves with what ended the worker. */
export interface RunningWorker extends WorkerRecord {
  readonly started: boolean;
  /** It took the place of one that ran with other settings. */
  readonly replaced?: boolean;
  readonly exited?: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

/**
 * Makes sure that a worker with these settings runs in the background; one with other settings is stopped first (its attempts go on and
 * are adopted) unless `replace` is false. Its output goes to {@link workerLogFile}.
 */
export async function ensureWorkerProcess(options: {
  readonly stateDir: string;
  readonly settings: string;
  readonly command: WorkerCommand;
  readonly replace?: boolean;
}): Promise<RunningWorker> {
  const { stateDir, settings, command, replace = true } = options;
  return await withProcessLock({ directory: lockDirectory(stateDir) }, async () => {
    const found = await readRecord(stateDir);
    const alive = found !== undefined && (await isSameProcess(found.process));
    if (alive && (found.settings === settings || !replace)) return { ...found, started: false };
    if (alive) await endWorker(found);
    return { ...(await startWorker(stateDir, settings, command)), replaced: alive };
  });
}

/** The worker that runs, if any. */
export async function readWorkerProcess(stateDir: string): Promise<WorkerRecord | undefined> {
  const found = await readRecord(stateDir);
  return found !== undefined && (await isSameProcess(found.process)) ? found : undefined;
}

/** A worker that ended without being told to: it is remembered, and its process is gone. */
export async function readDeadWorker(stateDir: string): Promise<WorkerRecord | undefined> {
  const found = await readRecord(stateDir);
  if (found === undefined || (await isSameProcess(found.process))) return undefined;
  // One that somebody runs by hand serves as well.
  return (await readReadyWorkers(stateDir)).length > 0 ? undefined : found;
}

/** The workers of this machine that take work, also those run by hand; what dead ones left is removed. */
export async function readReadyWorkers(stateDir: string): Promise<ProcessIdentity[]> {
  const directory = readyDirectory(stateDir);
  const alive: ProcessIdentity[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const [pid, startedAt] = name.split('~');
    if (pid === undefined || startedAt === undefined || startedAt.endsWith('.tmp')) continue;
    const identity = { pid: Number(pid), startedAt };
    if (await isSameProcess(identity)) alive.push(identity);
    else await rm(path.join(directory, name), { force: true });
  }
  return alive;
}

/** Stops the worker (`only`: if it is still this one) and waits until it is gone; true when one was alive. What it watched goes on without it. */
export async function stopWorkerProcess(stateDir: string, only?: ProcessIdentity): Promise<boolean> {
  return await withProcessLock({ directory: lockDirectory(stateDir) }, async () => {
    const found = await readRecord(stateDir);
    if (found === undefined) return false;
    const { pid, startedAt } = found.process;
    if (only !== undefined && (only.pid !== pid || only.startedAt !== startedAt)) return false;
    const end = await endWorker(found);
    await rm(recordFile(stateDir), { force: true });
    return end !== 'gone';
  });
}

/** Called in the worker: it takes work, and new runs use this build. */
export async function announceWorkerReady(stateDir: string, build: string): Promise<void> {
  await mkdir(readyDirectory(stateDir), { recursive: true });
  const identity = await readProcessIdentity(process.pid);
  if (identity === undefined) return;
  const file = readyFile(stateDir, identity);
  await writeFile(`${file}.tmp`, `${build}\n`);
  await rename(`${file}.tmp`, file);
}

/**
 * Waits until the worker takes work with this build.
 * @throws SetupError with the end of its log when it ends before, or does not get there in time.
 */
export async function waitForWorker(
  stateDir: string,
  {
    worker,
    build,
    signal,
  }: { readonly worker: Pick<WorkerRecord, 'process'>; readonly build: string; readonly signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const said = await readFile(readyFile(stateDir, worker.process), 'utf8').catch(() => '');
    const alive = await isSameProcess(worker.process);
    if (alive && said.trim() === build) return;
    if (!alive || performance.now() > deadline) {
      const what = alive
        ? `did not take up work within ${READY_TIMEOUT_MS / 1_000} s`
        : 'ended while it was starting';
      throw new SetupError(
        `The worker ${what}. Its log is ${workerLogFile(stateDir)}; it ends with:${(await readWorkerLogEnd(stateDir)) || ' nothing'}`,
      );
    }
    await delay(POLL_MS, undefined, { signal });
  }
}

/** Runs work that no other process of this machine does for the same project at the same time. */
export async function inTurn<T>(stateDir: string, work: () => Promise<T>): Promise<T> {
  return await withProcessLock({ directory: path.join(stateDir, 'turn-lock') }, work);
}

/** A worker that stops writes nothing that a kill could harm; it only needs time to hand over. */
const STOP_GRACE_MS = 20_000;
/** A worker may wait that long for a build of its own workflows and for Temporal. */
const READY_TIMEOUT_MS = 90_000;
const POLL_MS = 50;

/** With its group: an installer that the worker runs would go on without it. The attempts' supervisors have sessions of their own. */
async function endWorker(worker: WorkerRecord) {
  return await endProcess(worker.process, { graceMs: STOP_GRACE_MS, group: true });
}

async function startWorker(
  stateDir: string,
  settings: string,
  command: WorkerCommand,
): Promise<RunningWorker> {
  const log = await openWorkerLog(stateDir);
  try {
    const { file, args, env, cwd } = command;
    // A session of its own: Ctrl-C in our terminal does not reach it, so its end is in our order.
    const child = spawn(file, args, { env, cwd, detached: true, stdio: ['ignore', log.fd, log.fd] });
    const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    await once(child, 'spawn');
    child.unref();
    const identity = child.pid === undefined ? undefined : await readProcessIdentity(child.pid);
    if (identity === undefined)
      throw new SetupError(`The worker ended at once. Its log ends with:${await readWorkerLogEnd(stateDir)}`);
    const record: WorkerRecord = { process: identity, settings };
    await writeFile(`${recordFile(stateDir)}.tmp`, `${JSON.stringify(record)}\n`);
    await rename(`${recordFile(stateDir)}.tmp`, recordFile(stateDir));
    return { ...record, started: true, exited };
  } finally {
    await log.close();
  }
}

async function readRecord(stateDir: string): Promise<WorkerRecord | undefined> {
  const text = await readFile(recordFile(stateDir), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isWorkerRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isWorkerRecord(value: unknown): value is WorkerRecord {
  if (typeof value !== 'object' || value === null || !('process' in value) || !('settings' in value))
    return false;
  const identity = value.process;
  if (typeof identity !== 'object' || identity === null || typeof value.settings !== 'string') return false;
  return 'pid' in identity && typeof identity.pid === 'number' && 'startedAt' in identity;
}

function recordFile(stateDir: string): string {
  return path.join(stateDir, 'worker.json');
}

/** One file for each worker, named after its identity: those that are run by hand do not overwrite each other. */
function readyFile(stateDir: string, { pid, startedAt }: ProcessIdentity): string {
  return path.join(readyDirectory(stateDir), `${pid}~${startedAt}`);
}

function readyDirectory(stateDir: string): string {
  return path.join(stateDir, 'ready-workers');
}

function lockDirectory(stateDir: string): string {
  return path.join(stateDir, 'worker-lock');
}
