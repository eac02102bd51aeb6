import { poolsForHost } from '../config/host-pools.js';
import type { ImageRegistry } from '../activities/ports/image-registry.js';
import type { RunSnapshot } from '../core/activities.js';
import { isPinnedImage, type ResolvedImages } from '../core/image-reference.js';
import { withoutCredentials } from '../core/without-credentials.js';
import type { Build } from './build/build-manifest.js';
import type { WorkerSetting } from './compose-activities.js';

/** What {@link createSnapshot} takes. */
export interface SnapshotOptions extends Pick<WorkerSetting, 'config' | 'services'> {
  /** Name of this machine in task queues. */
  readonly host: string;
  /** Asked at the start of each run: the pools that workers of this host serve. Absent: all. */
  readonly servedPools?: () => Promise<ReadonlySet<string>>;
  /** Asked at the start of each run of a project with pools that run images. */
  readonly images: ImageRegistry;
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
  const poolImages = Object.fromEntries(
    Object.entries(config.pools).flatMap(([name, { placement }]) =>
      placement?.image === undefined ? [] : [[name, placement.image]],
    ),
  );
  const named = [
    ...steps.flatMap(({ image }) => (image === undefined ? [] : [image])),
    ...Object.values(poolImages),
  ];
  return async () => {
    const pools = poolsForHost(config, { name: options.host }, await options.servedPools?.());
    return {
      ...fixed,
      pools,
      ...(pools.some(({ executor }) => executor === 'kubernetes')
        ? { images: await resolveImages(options.images, named), poolImages }
        : {}),
    };
  };
}

/** Tags can be moved: what they stand for now holds for all attempts of the run. */
async function resolveImages(registry: ImageRegistry, named: readonly string[]): Promise<ResolvedImages> {
  const asked = new Set(named.filter((image) => !isPinnedImage(image)));
  return Object.fromEntries(
    await Promise.all([...asked].map(async (image) => [image, await registry.resolve(image)] as const)),
  );
}
