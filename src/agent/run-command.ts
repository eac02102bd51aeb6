import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import { writeJson } from '../adapters/attempt-files/json-file.js';
import { readAttemptProcesses } from '../adapters/process-executor/attempt-processes.js';
import type { CommandRecord } from '../adapters/process-executor/attempt-spec.js';
import type { ProcessIdentity } from '../adapters/process-identity.js';
import { readGroupMembers, readProcessIdentity } from '../adapters/process-identity.js';
import { GATE_NAME, spawnFailure } from './command-refusal.js';
import { startLongTimer } from './long-timer.js';
import type { Stop, StopRequests } from './stop-requests.js';

/** What to run, and under which limits. */
export interface CommandRun {
  readonly paths: AttemptPaths;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: { readonly [name: string]: string };
  readonly timeoutMs?: number;
  readonly stopGraceMs: number;
  readonly stops: StopRequests;
  readonly clock: { nowMs(): number };
  /** Called with the process before it becomes the command. */
  readonly enter?: (pid: number) => Promise<void>;
}

/** How the command ended. One of `exitCode` and `signal` is set. */
export interface CommandEnd {
  readonly exitCode?: number;
  readonly signal?: string;
  /** Set when Anneal ended it. */
  readonly endedBy?: 'timeout' | Stop['by'];
  /** Whether the command or processes that it left behind had to be killed. */
  readonly killed: boolean;
}

/**
 * Runs a command in a session and process group of its own, both of its outputs into the log. Resolves when no process of the group
 * is left, and none that left the group.
 * @throws the error that kept the command from being prepared; it has not run then.
 */
export async function runCommand(run: CommandRun): Promise<CommandEnd> {
  const child = await startCommand(run);
  const group = child.pid ?? 0;
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const refused = await prepareCommand(run, group).then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  openGate(child, refused === undefined);
  const ending = createEnding(run.paths, group);
  const onStop = () =>
    ending.begin(run.stops.stop()?.by ?? 'request', run.stops.stop()?.graceMs ?? run.stopGraceMs);
  const timer =
    run.timeoutMs === undefined
      ? undefined
      : startLongTimer(run.timeoutMs, () => ending.begin('timeout', run.stopGraceMs));
  if (run.stops.signal.aborted) onStop();
  else run.stops.signal.addEventListener('abort', onStop, { once: true });
  const [exitCode, signal] = await exited;
  timer?.clear();
  run.stops.signal.removeEventListener('abort', onStop);
  const killed = await ending.finish();
  if (refused !== undefined) throw refused.error;
  const how = exitCode === null ? { signal: signal ?? 'SIGKILL' } : { exitCode };
  const endedBy = ending.by();
  return { ...how, killed, ...(endedBy === undefined ? {} : { endedBy }) };
}

const POLL_MS = 25;
const AFTER_KILL_MS = 5_000;

/**
 * The command waits behind a gate until its identity is on disk: a supervisor that is killed in between closes the pipe, and nothing
 * unrecorded is left running. The shell sees the command only as positional arguments, which it does not interpret.
 */
const GATE = 'IFS= read -r go <&3 && [ "$go" = go ] || exit 125; exec 3<&-; exec "$@"';

async function startCommand({ paths, file, args, env }: CommandRun): Promise<ChildProcess> {
  const log = await open(paths.log, 'a');
  try {
    const child = spawn('/bin/sh', ['-c', GATE, GATE_NAME, file, ...args], {
      cwd: paths.work,
      env,
      detached: true,
      stdio: ['ignore', log.fd, log.fd, 'pipe'],
    });
    await once(child, 'spawn');
    return child;
  } catch (error) {
    throw spawnFailure(error, { file, args, env });
  } finally {
    await log.close();
  }
}

async function prepareCommand(run: CommandRun, pid: number): Promise<void> {
  await recordCommand(run, pid);
  await run.enter?.(pid);
}

async function recordCommand({ paths, clock }: CommandRun, pid: number): Promise<void> {
  const identity = await readProcessIdentity(pid);
  if (identity === undefined) throw new Error(`Process ${pid} ended before it began.`);
  const record: CommandRecord = {
    identity,
    bootedAtMs: clock.nowMs() - uptime() * 1_000,
    startedAtMs: clock.nowMs(),
  };
  await writeJson(paths.command, record);
}

function openGate(child: ChildProcess, open: boolean): void {
  const gate = child.stdio[3];
  if (gate === null || gate === undefined || !('end' in gate)) return;
  gate.on('error', () => undefined);
  gate.end(open ? 'go\n' : undefined);
}

/** SIGTERM to the group and to what left it, SIGKILL after the grace, and nothing left at the end. */
function createEnding(
  paths: AttemptPaths,
  group: number,
): {
  begin(by: 'timeout' | Stop['by'], graceMs: number): void;
  by(): CommandEnd['endedBy'];
  finish(): Promise<boolean>;
} {
  let by: CommandEnd['endedBy'];
  let killAt = 0;
  let killed = false;
  let timer: NodeJS.Timeout | undefined;
  return {
    begin: (reason, graceMs) => {
      if (by !== undefined) return;
      by = reason;
      killAt = performance.now() + graceMs;
      signalGroup(group, 'SIGTERM');
      // What cannot be read now is found, and killed, at the end.
      void readStrays(paths, group).then(
        (strays) => strays.forEach(({ pid }) => sendSignal(pid, 'SIGTERM')),
        () => undefined,
      );
      timer = setTimeout(() => {
        killed = true;
        signalGroup(group, 'SIGKILL');
      }, graceMs);
    },
    by: () => by,
    finish: async () => {
      // The command's own children may still be saving what SIGTERM told them to.
      while (performance.now() < killAt && (await readLeftovers(paths, group)).length > 0)
        await delay(POLL_MS);
      clearTimeout(timer);
      return (await killLeftovers(paths, group)) || killed;
    },
  };
}

async function readLeftovers(paths: AttemptPaths, group: number): Promise<readonly ProcessIdentity[]> {
  const members = await readGroupMembers(group);
  return members.length > 0 ? members : await readAttemptProcesses(paths);
}

/** What the command started and moved to a group of its own. */
async function readStrays(paths: AttemptPaths, group: number): Promise<readonly ProcessIdentity[]> {
  const members = await readGroupMembers(group);
  return (await readAttemptProcesses(paths)).filter(
    ({ pid }) => pid !== group && !members.some((member) => member.pid === pid),
  );
}

/** Kills what the command left behind. @returns whether there was anything. */
async function killLeftovers(paths: AttemptPaths, group: number): Promise<boolean> {
  const deadline = performance.now() + AFTER_KILL_MS;
  for (let found = false; ; found = true) {
    const members = await readLeftovers(paths, group);
    if (members.length === 0 || performance.now() > deadline) return found;
    for (const { pid } of members) sendSignal(pid, 'SIGKILL');
    await delay(POLL_MS);
  }
}

/** The group's number cannot belong to others while its leader has not been reaped, and Node reaps it no earlier than `exit`. */
function signalGroup(group: number, signal: NodeJS.Signals): void {
  if (group > 1) sendSignal(-group, signal);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone meanwhile.
  }
}
