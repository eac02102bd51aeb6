import type { ArtifactStore } from '../core/artifact-store.js';
import { BUILD_FILES } from './build/build-manifest.js';

/** A build in the store. */
export interface StoredBuild {
  readonly digest: string;
  /** When it was last deployed, tried, or added to. */
  readonly usedAtMs: number;
  readonly sizeBytes: number;
  /** Whether it has its manifest; else it is only code that a worker put there for pods, or was never wholly written. */
  readonly whole: boolean;
}

/** Builds in the store whose digest begins so. */
export async function listStoredBuilds(
  store: Pick<ArtifactStore, 'list'>,
  beginning = '',
): Promise<StoredBuild[]> {
  const found = new Map<string, StoredBuild>();
  for await (const { key, modifiedAtMs, sizeBytes } of store.list(`builds/${beginning}`)) {
    const [, digest = '', file] = key.split('/');
    const known = found.get(digest);
    found.set(digest, {
      digest,
      usedAtMs: Math.max(known?.usedAtMs ?? 0, modifiedAtMs),
      sizeBytes: (known?.sizeBytes ?? 0) + sizeBytes,
      whole: known?.whole === true || file === BUILD_FILES.manifest,
    });
  }
  return [...found.values()];
}
