import type { SystemActivities } from '../core/activities.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { ArtifactRef } from '../core/artifacts.js';
import { pinDigest } from '../core/pinned-data.js';
import type { ActivityContext, Clock } from './ports/activity-context.js';
import type { ExternalData } from './ports/external-data.js';

/** What {@link createPinDataset} is made of. */
export interface PinDatasetDeps {
  readonly data: ExternalData;
  readonly store: ArtifactStore;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly context: () => ActivityContext;
}

const HEARTBEAT_MS = 5_000;

/** The activity that pins a dataset: what is there now is what the run reads, or it is told that it changed. */
export function createPinDataset(deps: PinDatasetDeps): Pick<SystemActivities, 'pinDataset'> {
  return {
    pinDataset: async ({ uri, executionId }) => {
      const context = deps.context();
      const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        return await pin(deps, { uri, executionId, signal: context.signal });
      } finally {
        clearInterval(beat);
      }
    },
  };
}

async function pin(
  { data, store, clock }: PinDatasetDeps,
  asked: { readonly uri: string; readonly executionId: string; readonly signal: AbortSignal },
): Promise<ArtifactRef<'Dataset', object>> {
  const found = await data.find(asked.uri, asked.signal);
  const { source, form, objects } = found;
  const digest = pinDigest(found);
  const [object] = objects;
  const single = form === 'file' && object ? { object } : undefined;
  // Under the digest of what it lists: a second try of this call may find something else, and only one of them is answered.
  const listing = storeKeys.datasetListing(asked.executionId, digest);
  if (!single) await store.putBytes(listing, new TextEncoder().encode(JSON.stringify(objects)));
  return {
    kind: 'Dataset',
    uri: asked.uri,
    digest,
    sizeBytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    form,
    values: {},
    pin: { pinnedAtMs: clock.nowMs(), source, ...(single ?? { listing }) },
  };
}
