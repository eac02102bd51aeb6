import { writeFile } from 'node:fs/promises';

import { createCheckpointSync } from '../../adapters/attempt-files/checkpoint-sync.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import type { FailureCode } from '../../core/failures.js';
import { UPLOAD_FAILED_EXIT } from '../../core/pod-layout.js';
import { keepSyncing } from '../sync-while-running.js';
import { createChunkStream, keepFlowing } from './chunk-stream.js';
import { finishPod } from './finish-pod.js';
import type { PodContext, PodPlaces } from './pod-context.js';
import { readPodContext } from './pod-context.js';
import { removeLogChunks } from './store-pod-log.js';
import { guardStore, readVolumeText, writeVolumeText } from './volume-files.js';
import { watchCommand } from './watch-command.js';

/** What an agent is told from outside. */
export interface AgentSigns {
  readonly env: NodeJS.ProcessEnv;
  /** Aborted when its container is told to end. */
  readonly told: AbortSignal;
}

/**
 * Follows the step's container to its end and lets it go when everything is stored.
 * @throws AnnealError when the store does not answer at the start: the next process of this container tries again.
 */
export async function runAgent(places: PodPlaces, signs: AgentSigns): Promise<void> {
  const context = await readPodContext(signs.env, places.paths);
  const pod = { ...context, store: guardStore(context.store, places.paths.root) };
  const recorded = await readOutcome(pod);
  // An earlier process of this pod has done everything, but for what it did last.
  if (recorded) await removeLogChunks(pod).catch(() => undefined);
  const outcome = recorded ?? (await followCommand(pod, signs.told));
  await writeFile(places.terminationLog, lastMessage(pod, outcome).slice(0, MESSAGE_LENGTH)).catch(
    () => undefined,
  );
  const notStored = outcome?.kind === 'failed' && NOT_STORED.has(outcome.code);
  await writeVolumeText(places.paths.root, places.paths.done, notStored ? String(UPLOAD_FAILED_EXIT) : '0');
}

const NOT_STORED: ReadonlySet<FailureCode> = new Set(['UploadFailed', 'StoreUnavailable', 'InvalidConfig']);

/** Kubernetes keeps 4,096 bytes. */
const MESSAGE_LENGTH = 2_000;

async function followCommand(pod: PodContext, told: AbortSignal): Promise<AttemptOutcome | undefined> {
  const { launch, place, paths, clock, store } = pod;
  const { root } = paths;
  const startedAtMs = clock.nowMs();
  const isFirst = (await readVolumeText(root, paths.agentStarted)) === undefined;
  const name = `${launch.name}.${place.podUid}`;
  const sync = createCheckpointSync({ store, spec: { ...launch, name }, paths, clock });
  // Before the command has begun, everything there was restored.
  if (isFirst) await sync.markStored();
  else await sync.markRecorded();
  const streams = [
    createChunkStream({ store, place, stream: 'logs', root, file: paths.log }),
    createChunkStream({ store, place, stream: 'metrics', root, file: paths.metricsStream }),
  ];
  if (isFirst) await writeVolumeText(root, paths.agentStarted, String(startedAtMs));
  const flowing = keepFlowing(streams, clock);
  const syncing = keepSyncing(sync, paths.checkpoints);
  const end = await watchCommand(paths, told);
  await flowing.end();
  await syncing.end();
  const began = Number(await readVolumeText(root, paths.agentStarted));
  return await finishPod({ pod, end, streams, sync, startedAtMs: began > 0 ? began : startedAtMs });
}

async function readOutcome({ store, place }: PodContext): Promise<AttemptOutcome | undefined> {
  const bytes = await store.readBytes(storeKeys.podOutcome(place));
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as AttemptOutcome);
}

function lastMessage({ place }: PodContext, outcome: AttemptOutcome | undefined): string {
  switch (outcome?.kind) {
    case 'succeeded':
      return JSON.stringify({ manifest: storeKeys.manifest(place.executionId, place.attemptName) });
    case 'failed':
      return outcome.message;
    case undefined:
      return 'The step was ended from outside.';
  }
}
