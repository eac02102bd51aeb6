import type { DataConverter } from '@temporalio/common';
import { openStore as openStoreAt, probeStore } from '../adapters/open-store.js';
import { createPayloadCodec } from '../adapters/payload-codec.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { StoreLocation } from '../core/store-location.js';

/** The store of a project. Nothing is made until something is written. */
export function openStore({ store }: Pick<ProjectPaths, 'store'>): ArtifactStore {
  return openStoreAt(store);
}

/** How payloads travel: large ones by reference to the store. Clients and workers of a project need the same. */
export function createDataConverter(store: ArtifactStore): DataConverter {
  return { payloadCodecs: [createPayloadCodec(store)] };
}

/** What is amiss with an S3 store that can be reached. */
export interface StoreConcern {
  /** Whether runs would not be safe with it. */
  readonly refused: boolean;
  readonly found: string;
  readonly mend: string;
}

/**
 * Looks whether the store can be used; of one in a directory nothing is asked.
 * @throws AnnealError StoreUnavailable, or InvalidConfig where waiting would not help.
 */
export async function inspectStore(location: StoreLocation): Promise<StoreConcern | undefined> {
  const findings = await probeStore(location, { nowMs: () => Date.now() });
  if (findings === undefined) return undefined;
  if (!findings.conditionalWrites)
    return {
      refused: true,
      found: `the service of ${location.root} overwrites an object that a writer asked not to overwrite (If-None-Match: *), so that two runs could both believe to be the first`,
      mend: 'Use an S3 service with conditional writes: Amazon S3 and most others have had them since 2024.',
    };
  if (Math.abs(findings.clockOffsetMs) > CLOCK_OFFSET_MS)
    return {
      refused: false,
      found: `the clock of this machine differs from that of ${location.root} by ${Math.round(Math.abs(findings.clockOffsetMs) / 60_000)} minutes`,
      mend: 'Set the clock: from 15 minutes on S3 refuses every request.',
    };
  if (!findings.checksums)
    return {
      refused: false,
      found: `the service of ${location.root} keeps no SHA-256 of objects, so that large files are verified only against manifests`,
      mend: 'Use an S3 service that keeps checksums, if files are large.',
    };
  return undefined;
}

/**
 * What workers ask before they take work. A store that does not answer is waited for by the runs, not here.
 * @throws AnnealError InvalidConfig for a store that cannot work.
 */
export async function requireStore(location: StoreLocation, log: (message: string) => void): Promise<void> {
  try {
    const concern = await inspectStore(location);
    if (concern === undefined) return;
    const sentence = `The artifact store cannot be relied on: ${concern.found}. ${concern.mend}`;
    if (concern.refused) throw new AnnealError('InvalidConfig', sentence);
    log(sentence);
  } catch (error) {
    if (!(error instanceof AnnealError && error.code === 'StoreUnavailable')) throw error;
    log(error.message);
  }
}

const CLOCK_OFFSET_MS = 5 * 60_000;
