import { writeFile } from 'node:fs/promises';

import { createCheckpointSync } from '../../adapters/attempt-files/checkpoint-sync.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import type { FailureCode } from '../../core/failures.js';
import type { PodPaths } from '../../core/pod-layout.js';
import { UPLOAD_FAILED_EXIT } from '../../core/pod-layout.js';
import { keepSyncing } from '../sync-while-running.js';
import { createChunkStream, keepFlowing } from './chunk-stream.js';
import { deliverToPod } from './deliver-to-pod.js';
import { finishPod } from './finish-pod.js';
import { holdBack } from './hold-back.js';
import type { PodContext, PodPlaces } from './pod-context.js';
import { readPodContext } from './pod-context.js';
import { removeLogChunks } from './store-pod-log.js';
import { guardStore, openVolumeFile, readVolumeText, writeVolumeText } from './volume-files.js';
import { watchCommand } from './watch-command.js';

/** What an agent is told from outside. */
export interface AgentSigns {
  readonly env: NodeJS.ProcessEnv;
  /** Aborted when its container is told to end. */
  readonly told: AbortSignal;
}

/**
 * Follows the step's container to its end and lets it go when everything is stored, or could not be stored for a long time.
 * @throws AnnealError when the store does not answer at the start: the next process of this container tries again.
 */
export async function runAgent(places: PodPlaces, signs: AgentSigns): Promise<void> {
  if (await haveDied(places.paths)) {
    // Of what ends it, such as a lack of memory, the agent itself never learns.
    const why = 'the agent was ended again and again while it stored them';
    await letGo(places, `Its outputs could not be stored: ${why}`, UPLOAD_FAILED_EXIT);
    return;
  }
  try {
    await storeEverything(places, signs);
  } catch (error) {
    if (!(await hasEndedLongAgo(places.paths))) throw error;
    // Processes of this container have failed one after the other: a node must not be kept for ever.
    const reason = error instanceof Error ? error.message : String(error);
    await letGo(places, `Its outputs could not be stored: ${reason}`, UPLOAD_FAILED_EXIT);
  }
}

async function storeEverything(places: PodPlaces, signs: AgentSigns): Promise<void> {
  const context = await readPodContext(signs.env, places.paths);
  const pod = { ...context, store: guardStore(context.store, places.paths.root) };
  const recorded = await readOutcome(pod);
  // An earlier process of this pod has done everything, but for what it did last.
  if (recorded) await removeLogChunks(pod).catch(() => undefined);
  const outcome = recorded ?? (await followCommand(pod, signs.told));
  const notStored = outcome?.kind === 'failed' && NOT_STORED.has(outcome.code);
  await letGo(places, lastMessage(pod, outcome), notStored ? UPLOAD_FAILED_EXIT : 0);
}

async function letGo({ paths, terminationLog }: PodPlaces, message: string, answer: number): Promise<void> {
  await writeFile(terminationLog, message.slice(0, MESSAGE_LENGTH)).catch(() => undefined);
  await writeVolumeText(paths.root, paths.done, String(answer));
}

/** Whether agents have died one after the other since the command ended long ago: a node must not be kept for ever. */
async function haveDied(paths: PodPaths): Promise<boolean> {
  const { root, exit, lateAgents } = paths;
  if ((await readVolumeText(root, exit)) === undefined) return false;
  const before = Number(await readVolumeText(root, lateAgents)) || 0;
  // A full disk keeps no count.
  await writeVolumeText(root, lateAgents, String(before + 1)).catch(() => undefined);
  return before >= LATE_AGENTS && (await hasEndedLongAgo(paths));
}

const LATE_AGENTS = 3;
/** Longer than an upload may take. */
const GIVE_UP_MS = 30 * 60_000;

async function hasEndedLongAgo({ root, exit }: PodPaths): Promise<boolean> {
  const handle = await openVolumeFile(root, exit);
  if (handle === undefined) return false;
  try {
    return Date.now() - (await handle.stat()).mtimeMs > GIVE_UP_MS;
  } finally {
    await handle.close();
  }
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
  const metrics = createChunkStream({ store, place, stream: 'metrics', root, file: paths.metricsStream });
  const streams = [createChunkStream({ store, place, stream: 'logs', root, file: paths.log }), metrics];
  if (isFirst) await writeVolumeText(root, paths.agentStarted, String(startedAtMs));
  const flowing = keepFlowing(streams, clock);
  const syncing = keepSyncing(sync, paths.checkpoints);
  const delivering = launch.request.takesCommands === true ? await deliverToPod(pod) : undefined;
  const holding = holdBack(pod);
  const end = await watchCommand(paths, told);
  await holding.end();
  await delivering?.end();
  await flowing.end();
  await syncing.end();
  const began = Number(await readVolumeText(root, paths.agentStarted));
  return await finishPod({ pod, end, streams, metrics, sync, startedAtMs: began > 0 ? began : startedAtMs });
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
