import { fileURLToPath } from 'node:url';

import type { ArtifactStore } from '../core/artifact-store.js';
import type { StoreLocation } from '../core/store-location.js';
import { isS3Uri } from '../core/store-location.js';
import { createFileStore } from './file-store/create-file-store.js';
import type { S3Findings } from './s3-store/check-s3-store.js';
import { checkS3Store } from './s3-store/check-s3-store.js';
import { accessS3, createS3Store } from './s3-store/create-s3-store.js';
import { abortUploads } from './s3-store/unfinished-uploads.js';

/** The store at a location. Nothing is made, and no service asked, until something is read or written. */
export function openStore({ root, s3 }: StoreLocation): ArtifactStore {
  return isS3Uri(root)
    ? createS3Store({ root, ...s3 })
    : createFileStore({ root: root.startsWith('file://') ? fileURLToPath(root) : root });
}

/** What an S3 store can do; `undefined` for a store in a directory. @throws AnnealError where it cannot be reached or written. */
export async function probeStore(
  location: StoreLocation,
  clock: { nowMs(): number },
): Promise<S3Findings | undefined> {
  const { root, s3 } = location;
  return isS3Uri(root)
    ? await checkS3Store(accessS3({ root, ...s3 }), openStore(location), clock)
    : undefined;
}

/** Ends uploads to an S3 store that were left unfinished and that nobody has gone on with for hours. @returns their keys. */
export async function sweepUploads({ root, s3 }: StoreLocation, nowMs: number): Promise<string[]> {
  if (!isS3Uri(root)) return [];
  const { connection, keys } = accessS3({ root, ...s3 });
  return await abortUploads(connection, keys.objectPrefix(''), nowMs - IDLE_MS);
}

/** Longer than any one part can take. */
const IDLE_MS = 6 * 3_600_000;
