import type { DataConverter } from '@temporalio/common';
import { createFileStore } from '../adapters/file-store/create-file-store.js';
import { createPayloadCodec } from '../adapters/payload-codec.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ArtifactStore } from '../core/artifact-store.js';

/** The store of a project. Nothing is made until something is written. */
export function openStore(paths: Pick<ProjectPaths, 'storeDir'>): ArtifactStore {
  return createFileStore({ root: paths.storeDir });
}

/** How payloads travel: large ones by reference to the store. Clients and workers of a project need the same. */
export function createDataConverter(store: ArtifactStore): DataConverter {
  return { payloadCodecs: [createPayloadCodec(store)] };
}
