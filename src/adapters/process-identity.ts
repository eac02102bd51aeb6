import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** A process that cannot be mistaken for a later one with the same pid: `startedAt` is opaque, and differs after a reboot. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAt: string;
}

/** How {@link endProcess} ends a process. */
export interface EndProcessOptions {
  /** Time between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** Also ends every process of the group that the process leads (it was spawned with `detached: true`). */
  readonly group?: boolean;
}

/** The identity of a live process; `undefined` when there is none, or only a zombie that its parent has not reaped. */
export async function readProcessIdentity(pid: number): Promise<ProcessIdentity | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return process.platform === 'linux' ? await readFromProc(pid) : await readFromPs(pid);
}

/** Whether the process of this identity is still alive (a recycled pid and a zombie are not). */
export async function isSameProcess(identity: ProcessIdentity): Promise<boolean> {
  const found = await readProcessIdentity(identity.pid);
  return found?.startedAt === identity.startedAt;
}

/** The live processes of the group that `pid` leads or led, without `pid` itself. */
export async function readGroupMembers(pid: number): Promise<ProcessIdentity[]> {
  const pids = process.platform === 'linux' ? await groupFromProc(pid) : await groupFromPs(pid);
  const identities = await Promise.all(pids.filter((member) => member !== pid).map(readProcessIdentity));
  return identities.filter((identity) => identity !== undefined);
}

/**
 * The live processes of this user whose environment holds the variable with exactly this value, without this process: children that
 * left their group keep the environment they were started with.
 */
export async function readEnvironmentMembers(name: string, value: string): Promise<ProcessIdentity[]> {
  const entry = `${name}=${value}`;
  const pids =
    process.platform === 'linux' ? await environmentFromProc(entry) : await environmentFromPs(entry);
  const identities = await Promise.all(
    pids.filter((member) => member !== process.pid).map(readProcessIdentity),
  );
  return identities.filter((identity) => identity !== undefined);
}

/**
 * Ends a process: SIGTERM, then SIGKILL after the grace, and waits until it is verified gone. A process that is not the
 * recorded one is never signalled.
 *
 * @returns how it ended: `gone` was not alive to begin with.
 * @throws Error when it outlives SIGKILL by 5 s (uninterruptible I/O) or belongs to another user.
 */
export async function endProcess(
  identity: ProcessIdentity,
  options: EndProcessOptions,
): Promise<'gone' | 'terminated' | 'killed'> {
  if (!(await isSameProcess(identity))) return 'gone';
  const readMembers = async () => (options.group === true ? await readGroupMembers(identity.pid) : []);
  const members = await readMembers();
  signal(options.group === true ? -identity.pid : identity.pid, 'SIGTERM');
  if (await waitUntilGone([identity, ...members], options.graceMs)) return 'terminated';
  const survivors = await alive([identity, ...members]);
  // What is left of the group holds its number, so members that were born meanwhile are ours as well.
  const late = survivors.length > 0 ? await readMembers() : [];
  for (const one of [...survivors, ...late]) signal(one.pid, 'SIGKILL');
  if (await waitUntilGone([...survivors, ...late], AFTER_KILL_MS)) return 'killed';
  throw new Error(`Process ${identity.pid} did not end within ${AFTER_KILL_MS / 1000} s of SIGKILL.`);
}

const AFTER_KILL_MS = 5_000;
const POLL_MS = 25;
/** Every environment of a machine is in its output. */
const PS_BYTES = 64 * 1024 * 1024;
const run = promisify(execFile);

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

async function alive(identities: readonly ProcessIdentity[]): Promise<ProcessIdentity[]> {
  const states = await Promise.all(identities.map(isSameProcess));
  return identities.filter((_, index) => states[index] === true);
}

async function waitUntilGone(identities: readonly ProcessIdentity[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if ((await alive(identities)).length === 0) return true;
    if (performance.now() >= deadline) return false;
    await delay(POLL_MS);
  }
}

interface ProcStat {
  readonly state: string;
  readonly group: number;
  readonly threads: number;
  readonly startTicks: string;
}

async function readProcStat(pid: number): Promise<ProcStat | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses and may hold spaces and parentheses itself: count from its end.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, , group] = fields;
  const threads = Number(fields[17]);
  const startTicks = fields[19];
  if (state === undefined || group === undefined || startTicks === undefined) return undefined;
  return { state, group: Number(group), threads, startTicks };
}

async function readFromProc(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readProcStat(pid);
  if (stat === undefined || stat.state === 'X') return undefined;
  // A first thread that has ended is a zombie while its siblings still end, and until then its files and ports are in use.
  if (stat.state === 'Z' && stat.threads <= 1) return undefined;
  // Ticks count from boot, so two boots can repeat a pair of pid and ticks.
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return { pid, startedAt: `${boot.slice(0, 8)}.${stat.startTicks}` };
}

async function pidsFromProc(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Environments of other users' processes cannot be read. */
async function environmentFromProc(entry: string): Promise<number[]> {
  const pids = await pidsFromProc();
  const environments = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')),
  );
  return pids.filter((_, index) => environments[index]?.split('\0').includes(entry));
}

/** Command and environment are one line there, words with spaces are not quoted. */
async function environmentFromPs(entry: string): Promise<number[]> {
  const rows = (await readPs(['-axEww', '-o', 'pid=,command='])).split('\n');
  return rows.flatMap((row) => (`${row} `.includes(` ${entry} `) ? [Number.parseInt(row, 10)] : []));
}

async function groupFromProc(group: number): Promise<number[]> {
  const pids = await pidsFromProc();
  const stats = await Promise.all(pids.map(readProcStat));
  return pids.filter((_, index) => stats[index]?.group === group);
}

async function readPs(args: readonly string[]): Promise<string> {
  try {
    return (
      await run('ps', [...args], { maxBuffer: PS_BYTES, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } })
    ).stdout;
  } catch {
    return ''; // ps exits with 1 when it finds nothing
  }
}

async function readFromPs(pid: number): Promise<ProcessIdentity | undefined> {
  const [state, ...started] = (await readPs(['-o', 'stat=,lstart=', '-p', String(pid)])).trim().split(/\s+/);
  if (state === undefined || state === '' || state.startsWith('Z')) return undefined;
  return { pid, startedAt: started.join('-').replaceAll(':', '.') };
}

async function groupFromPs(group: number): Promise<number[]> {
  const rows = (await readPs(['-ax', '-o', 'pid=,pgid='])).trim().split('\n');
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([pid, pgid]) => (pid !== undefined && pgid === group ? [pid] : []));
}
