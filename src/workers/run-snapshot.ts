import { poolsForHost } from '../config/host-pools.js';
import type { RunSnapshot } from '../core/activities.js';
import { withoutCredentials } from '../core/without-credentials.js';
import type { Build } from './build/build-manifest.js';
import type { WorkerSetting } from './compose-activities.js';

/** What {@link createSnapshot} takes. */
export interface SnapshotOptions extends Pick<WorkerSetting, 'config' | 'services'> {
  /** Name of this machine in task queues. */
  readonly host: string;
  /** Asked at the start of each run: the pools that workers of this host serve. Absent: all. */
  readonly servedPools?: () => Promise<ReadonlySet<string>>;
  /** Events of history after which runs continue as new; for tests and benchmarks. */
  readonly continueAfterEvents?: number;
}

/** What runs of a build on this host will use, fixed at their start. */
export function createSnapshot(options: SnapshotOptions, build: Build): () => Promise<RunSnapshot> {
  const { config, services } = options;
  const { steps } = build.manifest;
  const fixed: Omit<RunSnapshot, 'pools'> = {
    project: config.project,
    build: build.digest,
    codeDigests: Object.fromEntries(steps.map((step) => [step.name, step.codeDigest])),
    pythonDigests: Object.fromEntries(
      steps.flatMap((step) => (step.pythonDigest === undefined ? [] : [[step.name, step.pythonDigest]])),
    ),
    tracked: services.trackingUri !== undefined,
    notify: config.notify,
    ...(services.temporalUiUrl === undefined ? {} : { temporalUiUrl: services.temporalUiUrl }),
    ...(services.trackingUri === undefined
      ? {}
      : { trackingUiUrl: withoutCredentials(services.trackingUri).replace(/\/$/, '') }),
    ...(options.continueAfterEvents === undefined
      ? {}
      : { continueAfterEvents: options.continueAfterEvents }),
  };
  return async () => ({
    ...fixed,
    pools: poolsForHost(config, { name: options.host }, await options.servedPools?.()),
  });
}
