import type { AnnealClient, TemporalConnection } from '../client/index.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { LocalServices } from '../local/local-servers.js';
import type { OnServer } from '../local/server-process.js';
import type { RunningWorker } from '../local/worker-process.js';
import type { Build } from '../workers/build/build-manifest.js';
import type { ProjectBuild } from '../workers/build/build-project.js';
import type { LinkBases } from './run-links.js';
import type { WatchCodeOptions } from './watch-code.js';

/** Where the two services of a project are: set by the user, or the local ones. */
export interface ServiceAddresses {
  readonly temporalAddress?: string;
  readonly temporalUiUrl?: string;
  readonly namespace: string;
  readonly trackingUri?: string;
}

/** A project as commands use it; everything heavy is loaded when it is first asked for. */
export interface Project {
  readonly config: ProjectConfig;
  readonly paths: ProjectPaths;
  /** @throws AnnealError ServerUnreachable. */
  client(): Promise<AnnealClient>;
  /** The connection itself, for the worker. */
  temporal(): Promise<TemporalConnection>;
  addresses(): Promise<ServiceAddresses>;
  links(): Promise<LinkBases>;
  /** The build that new runs use, else a new one. */
  currentBuild(): Promise<Build>;
  /** @throws AnnealError BuildFailed. */
  build(onProgress: (line: string) => void): Promise<ProjectBuild>;
  /** Builds again after every change of the code and makes the build current. @returns what ends it. */
  watch(options: WatchCodeOptions): Promise<() => void>;
  readonly stack: LocalStack;
  /** Lets go of the connection; the next client connects anew, to the address of then. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** What of a project's local part was alive when it was looked at. */
export interface StackState {
  readonly servers: boolean;
  readonly worker: boolean;
}

/** The local servers and the worker of a project. */
export interface LocalStack {
  running(): Promise<StackState>;
  startServers(options: {
    readonly onProgress: (line: string) => void;
    readonly signal?: AbortSignal;
    readonly onServer?: OnServer;
    /** Temporal answers, and where MLflow will answer is known. */
    readonly onWorkable?: () => void;
  }): Promise<LocalServices>;
  stopServers(): Promise<readonly string[]>;
  /** Names of local servers that ended without being told to. */
  deadServers(): Promise<readonly string[]>;
  /** Runs work that no other command of this machine does for this project at the same time. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Makes a build the one that new runs use; workers of this machine notice. */
  makeCurrent(build: string): Promise<void>;
  /** The build that new runs use, before the first undefined. */
  readCurrent(): Promise<string | undefined>;
  /** Whether another build takes a share of new runs. */
  isRamping(): Promise<boolean>;
  /** A worker of this machine that takes work: that of `anneal up`, else one run by hand. */
  worker(): Promise<Pick<RunningWorker, 'process'> | undefined>;
  /** @param options `replace: false`: a worker that runs with other settings is left as it is. */
  ensureWorker(options?: { readonly replace?: boolean }): Promise<RunningWorker>;
  /** @throws SetupError when the worker does not take up work. */
  workerReady(options: {
    readonly worker: Pick<RunningWorker, 'process'>;
    readonly build: string;
    readonly signal: AbortSignal;
  }): Promise<void>;
  /** @param only Stop it if it is still this process. */
  stopWorker(only?: RunningWorker['process']): Promise<boolean>;
  /** One sentence when the worker of `anneal up` ended without being told to. */
  workerProblem(): Promise<string | undefined>;
  /** Ends the attempts of this machine that a closed run left, and verifies that they are gone. */
  endAttemptsOf(runId: string): Promise<readonly string[]>;
  /** Ends the attempts of this machine after a checkpoint. Their runs stay open. */
  endAttempts(): Promise<readonly string[]>;
  workerLogEnd(): Promise<string>;
  /** The file that the worker's output is appended to. */
  workerLog(): Promise<string>;
}
