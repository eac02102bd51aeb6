import type { ArtifactStore } from '../../core/artifact-store.js';
import type { PythonEnvironment } from '../../core/step.js';
import type { S3Settings } from '../../core/store-location.js';
import type { GpuInventory } from '../gpu-leases.js';

/** What the process executor needs. */
export interface ProcessExecutorDeps {
  readonly store: ArtifactStore;
  /** How supervisors reach an S3 store; their credentials come from `env`. */
  readonly s3?: S3Settings;
  /** How datasets outside the store are read. Default: public hosts only, and AWS's own settings. */
  readonly data?: { readonly allowHosts: readonly string[]; readonly s3: S3Settings };
  /** Folder of the attempts that run on this machine; one for all its workers. */
  readonly attemptsDir: string;
  /**
   * Folder of builds. Of each step, `<buildsDir>/<build>/code/<step>/` is what lands in the working directory and
   * `python/<step>.txt` beside `code/` is the lock of its Python environment.
   */
  readonly buildsDir: string;
  /** Puts a build into that folder where it is not there. Default: it is there. @throws AnnealError: the attempt fails with it. */
  readonly ensureBuild?: (digest: string) => Promise<void>;
  /** The compiled `agent/supervisor.js`. */
  readonly supervisorPath: string;
  readonly clock: { nowMs(): number };
  /** Makes or finds a step's Python environment. `requirements` is a path on this machine. @throws any error: the attempt is `EnvironmentFailed`. */
  readonly ensurePython: (
    python: PythonEnvironment,
    watch: {
      readonly signal: AbortSignal;
      /** Told, a line at a time, what an installation is at. */
      readonly onProgress: (line: string) => void;
    },
  ) => Promise<{ readonly bin: string }>;
  readonly gpus: GpuInventory;
  /** The worker's environment: programs, proxies, and secrets as `ANNEAL_SECRET_<NAME>_<KEY>`. */
  readonly env: NodeJS.ProcessEnv;
  /** Only its owner may read it. */
  readonly secretsFile?: string;
  /** Secret with keys `username` and `password`: MLflow credentials for the commands of tracked steps. Default: they get none. */
  readonly mlflowSecret?: string;
  /** An attempt that no worker has watched for so long ends itself. Default 5 minutes. */
  readonly unclaimedMs?: number;
  /** A checkpoint that is not renamed from `*.tmp` is whole when unchanged for so long. Default 10 s. */
  readonly checkpointSettleMs?: number;
}
