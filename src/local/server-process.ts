import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import {
  endProcess,
  isSameProcess,
  readGroupMembers,
  readProcessIdentity,
} from '../adapters/process-identity.js';
import { readPortHolder } from '../adapters/port-holder.js';
import type { ProcessIdentity } from '../adapters/process-identity.js';
import { lastLines, SetupError } from '../adapters/setup-error.js';
import { findFreePort, isPortFree } from './free-port.js';
import { readServerRecord, serverLogFile, writeServerRecord } from './server-record.js';
import type { LocalServerName, ServerRecord } from './server-record.js';

/** The ports of one start. */
export interface ServerPorts {
  readonly port: number;
  readonly uiPort?: number;
}

/** One server that can be started in the background. */
export interface ServerDefinition {
  readonly name: LocalServerName;
  /** For people: `Temporal`, `MLflow`. */
  readonly label: string;
  readonly defaultPorts: ServerPorts;
  readonly healthTimeoutMs: number;
  /** What to run; called once per start, and only when there is something to start. */
  readonly prepare: (ports: ServerPorts) => Promise<ServerCommand>;
  /** Whether the server answers; false while it is starting. */
  readonly isHealthy: (ports: ServerPorts) => Promise<boolean>;
}

/** The process of a server. */
export interface ServerCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** What a start needs beside the definition. */
export interface ServerContext {
  readonly stateDir: string;
  readonly onProgress: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Told of a server once it was found alive, or was started; also where waiting for it then fails. */
  readonly onServer?: OnServer;
}

/** Hears whether a server was there, or was started by this call: only then may the caller stop it. */
export type OnServer = (name: LocalServerName, state: 'found' | 'started') => void;

/**
 * Makes sure that a server of ours runs and answers: the one that is recorded, else a new one on the same data, on the
 * remembered port where that is free. To be called under the lock of the state folder.
 *
 * @throws SetupError with the end of the server's log.
 */
export async function ensureServer(
  definition: ServerDefinition,
  context: ServerContext,
): Promise<{ record: ServerRecord; started: boolean }> {
  const { label } = definition;
  const recorded = await readServerRecord(context.stateDir, definition.name);
  if (recorded !== undefined && recorded.processes.length > 0) {
    const leader = recorded.processes[0];
    const alive = leader !== undefined && (await isSameProcess(leader));
    if (alive) context.onServer?.(definition.name, 'found');
    if (
      alive &&
      (await waitUntilHealthy({ definition, ports: recorded, process: leader }, context)) === 'healthy'
    ) {
      return { record: recorded, started: false };
    }
    context.onProgress(`${label}: ${alive ? 'does not answer' : 'has died'}; starting it again on its data`);
    await endServer(recorded, context.stateDir);
  }
  return await startOnFreePorts({ definition, recorded }, context);
}

/** Ends what a record names, its children included, and forgets the processes but not the ports. True when something was alive. */
export async function endServer(record: ServerRecord, stateDir: string): Promise<boolean> {
  const [leader, ...children] = record.processes;
  const ends =
    leader === undefined ? [] : [await endProcess(leader, { graceMs: STOP_GRACE_MS, group: true })];
  // When the leader died alone, its children may still hold the port and the database.
  for (const child of children) ends.push(await endProcess(child, { graceMs: STOP_GRACE_MS }));
  await writeServerRecord(stateDir, { ...record, processes: [] });
  return ends.some((end) => end !== 'gone');
}

const STOP_GRACE_MS = 10_000;
const POLL_MS = 100;
const MAXIMUM_LOG_BYTES = 10 * 1024 * 1024;
const PORT_ATTEMPTS = 3;

interface Start {
  readonly definition: ServerDefinition;
  readonly recorded: ServerRecord | undefined;
}

async function startOnFreePorts(
  { definition, recorded }: Start,
  context: ServerContext,
): Promise<{ record: ServerRecord; started: boolean }> {
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    const ports = await choosePorts({ definition, recorded }, context);
    const outcome = await startOnce({ definition, ports }, context);
    if ('record' in outcome) {
      context.onProgress(
        `${definition.label}: up on port ${ports.port} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`,
      );
      return { record: outcome.record, started: true };
    }
    const lostPort =
      !(await isPortFree(ports.port)) || (ports.uiPort !== undefined && !(await isPortFree(ports.uiPort)));
    if (!lostPort || attempt === PORT_ATTEMPTS) throw outcome.failure;
    context.onProgress(
      `${definition.label}: another program took port ${ports.port} meanwhile; trying another`,
    );
  }
}

async function choosePorts({ definition, recorded }: Start, context: ServerContext): Promise<ServerPorts> {
  const { defaultPorts, label } = definition;
  const wanted = recorded ?? defaultPorts;
  const port = await findFreePort([wanted.port, defaultPorts.port]);
  if (port !== wanted.port)
    context.onProgress(`${label}: port ${wanted.port} is in use by another program; using ${port}`);
  if (defaultPorts.uiPort === undefined) return { port };
  const uiPorts = [wanted.uiPort ?? defaultPorts.uiPort, defaultPorts.uiPort];
  const uiPort = await findFreePort(uiPorts, [port]);
  if (uiPort !== uiPorts[0])
    context.onProgress(
      `${label}: port ${uiPorts[0]} is in use by another program; the Web UI uses ${uiPort}`,
    );
  return { port, uiPort };
}

interface StartOnce {
  readonly definition: ServerDefinition;
  readonly ports: ServerPorts;
}

async function startOnce(
  { definition, ports }: StartOnce,
  context: ServerContext,
): Promise<{ record: ServerRecord } | { failure: SetupError }> {
  const { name, label } = definition;
  const command = await definition.prepare(ports);
  const logFile = serverLogFile(context.stateDir, name);
  const log = await openLog(logFile);
  const failed = async (what: string) => {
    const said = (await readFile(logFile)).subarray(log.offset).toString('utf8');
    return {
      failure: new SetupError(
        `${label} ${what}. Its log is ${logFile}; it ends with:${lastLines(said) || ' nothing'}`,
      ),
    };
  };
  const leader = await spawnDetached(command, log.fd).finally(() => log.close());
  if (leader === undefined) return await failed('ended at once');
  const starting: ServerRecord = { name, ...ports, processes: [leader] };
  // Recorded before it is healthy: whoever comes after a crash of ours finds the process, and starts no second one on its data.
  await writeServerRecord(context.stateDir, starting);
  context.onServer?.(name, 'started');
  const health = await waitUntilHealthy({ definition, ports, process: leader }, context);
  if (health === 'healthy') {
    const record = { ...starting, processes: [leader, ...(await readGroupMembers(leader.pid))] };
    await writeServerRecord(context.stateDir, record);
    return { record };
  }
  await endServer(starting, context.stateDir);
  return await failed(
    health === 'ended'
      ? 'ended while it was starting'
      : `did not answer within ${definition.healthTimeoutMs / 1000} s`,
  );
}

interface Waiting {
  readonly definition: ServerDefinition;
  readonly ports: ServerPorts;
  readonly process: ProcessIdentity;
}

async function waitUntilHealthy(
  waiting: Waiting,
  context: ServerContext,
): Promise<'healthy' | 'ended' | 'timeout'> {
  const { definition, ports } = waiting;
  const deadline = performance.now() + definition.healthTimeoutMs;
  for (;;) {
    context.signal?.throwIfAborted();
    const healthy = await definition.isHealthy(ports);
    // Alive after it answered: what answers on the port of a dead process is somebody else's.
    if (!(await isSameProcess(waiting.process))) return 'ended';
    if (healthy && (await holdsPort(waiting))) return 'healthy';
    if (performance.now() > deadline) return 'timeout';
    await delay(POLL_MS);
  }
}

/** False while another program, such as the server of another project that chose the port at the same moment, is what answers there. */
async function holdsPort({ process: leader, ports }: Waiting): Promise<boolean> {
  const members = [leader, ...(await readGroupMembers(leader.pid))];
  const pids = members.map(({ pid }) => pid);
  return (await readPortHolder(ports.port, pids)) !== 'others';
}

/** Starts a process in a session of its own, so that Ctrl-C in our terminal does not reach it; `undefined` when it ended at once. */
async function spawnDetached(command: ServerCommand, logFd: number): Promise<ProcessIdentity | undefined> {
  await mkdir(command.cwd, { recursive: true });
  const { file, args, env, cwd } = command;
  const child = spawn(file, args, { env, cwd, detached: true, stdio: ['ignore', logFd, logFd] });
  try {
    await once(child, 'spawn');
  } catch (error) {
    throw new SetupError(`Could not run ${file}: ${error instanceof Error ? error.message : String(error)}.`);
  }
  child.unref();
  return child.pid === undefined ? undefined : await readProcessIdentity(child.pid);
}

async function openLog(file: string): Promise<{ fd: number; offset: number; close: () => Promise<void> }> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  const rotate = size > MAXIMUM_LOG_BYTES;
  if (rotate) await rename(file, `${file}.1`);
  const handle = await open(file, 'a');
  return { fd: handle.fd, offset: rotate ? 0 : size, close: async () => await handle.close() };
}
