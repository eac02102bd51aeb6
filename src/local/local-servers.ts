import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { makeUserCacheDirectory } from '../adapters/cache-directory.js';
import type { InstallDeps } from '../adapters/pinned-tool.js';
import { isSameProcess } from '../adapters/process-identity.js';
import { withProcessLock } from '../adapters/process-lock.js';
import { runProgram } from '../adapters/run-program.js';
import { SetupError } from '../adapters/setup-error.js';
import { defineMlflowServer } from './mlflow-server.js';
import { endServer, ensureServer } from './server-process.js';
import type { OnServer, ServerContext, ServerPorts } from './server-process.js';
import { readServerRecord, serverLogFile } from './server-record.js';
import type { LocalServerName, ServerRecord } from './server-record.js';
import { findTemporalCli } from './temporal-cli.js';
import { defineTemporalServer, LOCAL_NAMESPACE } from './temporal-server.js';

/** How to start the local servers. */
export interface StartLocalServersOptions {
  /** `<project>/.anneal/local`: databases, logs, records of processes. */
  readonly stateDir: string;
  /** The user's settings: `TEMPORAL_ADDRESS`, `MLFLOW_TRACKING_URI`, `ANNEAL_TEMPORAL_CLI`, `ANNEAL_MLFLOW_CLI`, `ANNEAL_PYTHON`. */
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
  /** Ports to try first when none is remembered; default 7233, 8233 and 5000. */
  readonly ports?: { readonly temporal: Required<ServerPorts>; readonly mlflow: ServerPorts };
  /** Stops waiting. What was started is recorded: end it with {@link stopLocalServers}. */
  readonly signal?: AbortSignal;
  /** Hears of each local server as soon as it is there, so that a caller whose start then fails knows what it has started. */
  readonly onServer?: OnServer;
  /** Called once Temporal answers and MLflow's address is known, though it may not answer yet: a worker can be started, which waits for it. */
  readonly onWorkable?: () => void;
}

/** One service that is there to be used. `started`: by this call, so whoever called may stop it. */
export interface LocalService {
  readonly external: boolean;
  readonly started: boolean;
  readonly logFile?: string;
}

/** Both services. */
export interface LocalServices {
  readonly temporal: LocalService & {
    readonly address: string;
    readonly namespace: string;
    readonly uiUrl?: string;
  };
  readonly mlflow: LocalService & { readonly trackingUri: string };
}

/**
 * Makes sure that Temporal and MLflow are there: those that the settings name, else servers of our own on 127.0.0.1, both at once.
 * Repeating it is harmless, also from several processes at the same time.
 *
 * @throws SetupError that says what is missing, or how a server's log ends.
 */
export async function startLocalServers(options: StartLocalServersOptions): Promise<LocalServices> {
  const { env, onProgress } = options;
  const stateDir = path.resolve(options.stateDir);
  await mkdir(stateDir, { recursive: true });
  const cacheDirectory = await makeUserCacheDirectory(env);
  const deps: InstallDeps = { cacheDirectory, env, run: runProgram, onProgress };
  let place: () => void = () => undefined;
  const placed = new Promise<void>((resolve) => (place = resolve));
  const context: ServerContext = {
    stateDir,
    onProgress,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onServer: (name, state) => {
      options.onServer?.(name, state);
      if (name === 'mlflow') place();
    },
  };
  const onWait = (pid: number) =>
    onProgress(`Waiting for process ${pid}, which is starting or stopping the local servers`);
  return await withProcessLock({ directory: lockDirectory(stateDir), onWait }, async () => {
    const ports = options.ports ?? DEFAULT_PORTS;
    const starting = [
      ensureTemporal({ deps, context, defaultPorts: ports.temporal }),
      ensureMlflow({ deps, context, defaultPorts: ports.mlflow }),
    ] as const;
    void Promise.all([starting[0], Promise.race([placed, starting[1]])]).then(
      () => options.onWorkable?.(),
      () => undefined,
    );
    const [temporal, mlflow] = await Promise.allSettled(starting);
    if (temporal.status === 'fulfilled' && mlflow.status === 'fulfilled') {
      return { temporal: temporal.value, mlflow: mlflow.value };
    }
    throw mergeFailures([temporal, mlflow]);
  });
}

/** Stops the servers that Anneal started for this state folder, and only those; returns the names of those that were alive. */
export async function stopLocalServers(options: { readonly stateDir: string }): Promise<LocalServerName[]> {
  const stateDir = path.resolve(options.stateDir);
  return await withProcessLock({ directory: lockDirectory(stateDir) }, async () => {
    const stopped = await Promise.all(
      NAMES.map(async (name) => {
        const record = await readServerRecord(stateDir, name);
        if (record === undefined || record.processes.length === 0) return [];
        return (await endServer(record, stateDir)) ? [name] : [];
      }),
    );
    return stopped.flat();
  });
}

/** The servers of a state folder that ended without being told to: they are remembered, and their process is gone. */
export async function readDeadServers(stateDir: string): Promise<LocalServerName[]> {
  const resolved = path.resolve(stateDir);
  const dead = await Promise.all(
    NAMES.map(async (name) => {
      const leader = (await readServerRecord(resolved, name))?.processes[0];
      return leader === undefined || (await isSameProcess(leader)) ? [] : [name];
    }),
  );
  return dead.flat();
}

/** What is known of one local server. */
export interface LocalServerState {
  readonly running: boolean;
  readonly pid?: number;
  /** `127.0.0.1:7233` for Temporal, `http://127.0.0.1:5000` for MLflow. */
  readonly address: string;
  /** For a browser. */
  readonly uiUrl: string;
  readonly logFile: string;
}

/** The servers that were ever started for a state folder. Reads only: does not start, wait or ask the servers. */
export async function readLocalState(
  stateDir: string,
): Promise<Partial<Record<LocalServerName, LocalServerState>>> {
  const resolved = path.resolve(stateDir);
  const entries = await Promise.all(
    NAMES.map(async (name) => {
      const record = await readServerRecord(resolved, name);
      return record === undefined ? [] : [[name, await describeRecord(record, resolved)] as const];
    }),
  );
  return Object.fromEntries(entries.flat());
}

const NAMES: readonly LocalServerName[] = ['temporal', 'mlflow'];
const DEFAULT_PORTS = { temporal: { port: 7233, uiPort: 8233 }, mlflow: { port: 5000 } };

function lockDirectory(stateDir: string): string {
  return path.join(stateDir, 'lock');
}

interface Ensure<P extends ServerPorts> {
  readonly deps: InstallDeps;
  readonly context: ServerContext;
  readonly defaultPorts: P;
}

async function ensureTemporal({
  deps,
  context,
  defaultPorts,
}: Ensure<Required<ServerPorts>>): Promise<LocalServices['temporal']> {
  const source = await findTemporalCli(deps);
  if (source.kind === 'external') {
    const namespace = deps.env['TEMPORAL_NAMESPACE'] ?? LOCAL_NAMESPACE;
    return { address: source.address, namespace, external: true, started: false };
  }
  const directory = path.join(context.stateDir, 'temporal');
  const server = defineTemporalServer({ cli: source.path, directory, defaultPorts }, deps);
  const { record, started } = await ensureServer(server, context);
  const logFile = serverLogFile(context.stateDir, 'temporal');
  return {
    address: toAddress(record),
    namespace: LOCAL_NAMESPACE,
    uiUrl: toUiUrl(record),
    external: false,
    started,
    logFile,
  };
}

async function ensureMlflow({
  deps,
  context,
  defaultPorts,
}: Ensure<ServerPorts>): Promise<LocalServices['mlflow']> {
  const trackingUri = deps.env['MLFLOW_TRACKING_URI'];
  if (trackingUri) return { trackingUri, external: true, started: false };
  const server = defineMlflowServer({ directory: path.join(context.stateDir, 'mlflow'), defaultPorts }, deps);
  const { record, started } = await ensureServer(server, context);
  return {
    trackingUri: toUiUrl(record),
    external: false,
    started,
    logFile: serverLogFile(context.stateDir, 'mlflow'),
  };
}

async function describeRecord(record: ServerRecord, stateDir: string): Promise<LocalServerState> {
  const leader = record.processes[0];
  const running = leader !== undefined && (await isSameProcess(leader));
  return {
    running,
    ...(running ? { pid: leader.pid } : {}),
    address: record.name === 'temporal' ? toAddress(record) : toUiUrl(record),
    uiUrl: toUiUrl(record),
    logFile: serverLogFile(stateDir, record.name),
  };
}

function toAddress(record: ServerRecord): string {
  return `127.0.0.1:${record.port}`;
}

function toUiUrl(record: ServerRecord): string {
  return `http://127.0.0.1:${record.uiPort ?? record.port}`;
}

/** What a person can mend is one message, also when both failed; anything else is a defect and is thrown as it is. */
function mergeFailures(results: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = results.flatMap((result): unknown[] =>
    result.status === 'rejected' ? [result.reason] : [],
  );
  const messages = new Set(
    reasons.flatMap((reason) => (reason instanceof SetupError ? [reason.message] : [])),
  );
  if (messages.size === 0 || reasons.some((reason) => !(reason instanceof SetupError))) {
    return reasons.find((reason) => !(reason instanceof SetupError));
  }
  return new SetupError([...messages].join('\n'));
}
