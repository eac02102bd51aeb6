import { setTimeout as delay } from 'node:timers/promises';

import type { CheckpointSync } from '../../adapters/attempt-files/checkpoint-sync.js';
import { readLogTail } from '../../adapters/attempt-files/log-tail.js';
import { outcomeOfManifest, toBytes } from '../../adapters/attempt-files/stored-outcome.js';
import { storeKeys } from '../../core/artifact-store.js';
import { commandEndMark } from '../../core/command-end-mark.js';
import type { AttemptFailed, AttemptOutcome } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { buildOrigin } from '../../core/lineage.js';
import { parseBytes } from '../../core/quantity.js';
import type { AttemptFailure } from '../attempt-failure.js';
import { withFullDisk } from '../attempt-failure.js';
import { classifyEnd } from '../classify-end.js';
import { collectOutputs } from '../collect-outputs.js';
import { uploadAttempt } from '../upload-attempt.js';
import type { ChunkStream } from './chunk-stream.js';
import { failureInPod } from './failure-in-pod.js';
import type { PodContext } from './pod-context.js';
import { removeLogChunks, storeWholeLog } from './store-pod-log.js';
import { withSafePath } from './volume-files.js';
import type { PodCommandEnd } from './watch-command.js';

/** What is finished. */
export interface Finishing {
  readonly pod: PodContext;
  readonly end: PodCommandEnd;
  readonly streams: readonly ChunkStream[];
  /** The one of them that whoever watches reads while the command runs. */
  readonly metrics: ChunkStream;
  readonly sync: CheckpointSync;
  readonly startedAtMs: number;
}

/**
 * Stores what the command left behind, what it made if it succeeded, and how it ended. `undefined`: it was ended from outside, and Kubernetes
 * knows better why; what can be saved is saved.
 */
export async function finishPod(finishing: Finishing): Promise<AttemptOutcome | undefined> {
  const { pod, end, startedAtMs } = finishing;
  const { launch, clock, store, place } = pod;
  if (end.kind === 'never-ran') return undefined;
  const untilMs = clock.nowMs() + launch.uploadTimeoutMs;
  const isJudged = end.kind === 'ended' && end.endedBy !== 'signal';
  const endedAtMs = clock.nowMs();
  await saveStreams(finishing, isJudged ? untilMs : endedAtMs);
  // Worth no failure: who watches learns of it later.
  await finishing.metrics.finish(commandEndMark(endedAtMs)).catch(() => undefined);
  if (!isJudged) {
    await syncAtEnd(finishing, false);
    return undefined;
  }
  const outcome = await judge(finishing, end, untilMs).catch(
    async (error: unknown): Promise<AttemptFailed> => ({
      kind: 'failed',
      attemptName: launch.name,
      ...failureInPod(error, { container: 'agent', step: launch.request.step }),
      logTail: await readTail(pod),
      startedAtMs,
      endedAtMs: clock.nowMs(),
    }),
  );
  const recorded = outcome.kind === 'failed' && outcome.code === 'UploadFailed' ? clock.nowMs() : untilMs;
  await patiently(pod, recorded, async () => {
    if (outcome.kind === 'failed') await storeWholeLog(pod);
    await store.putBytes(storeKeys.podOutcome(place), toBytes(outcome), { ifAbsent: true });
    await removeLogChunks(pod);
  }).catch(() => undefined);
  return outcome;
}

async function saveStreams({ pod, streams }: Finishing, untilMs: number): Promise<void> {
  for (const stream of streams)
    await patiently(pod, untilMs, async () => await stream.flush()).catch(() => undefined);
}

/** A failed sync costs the next attempt time, and this one nothing. */
async function syncAtEnd({ sync }: Finishing, settled: boolean): Promise<void> {
  await sync.sync({ settled }).catch(() => undefined);
}

async function judge(
  finishing: Finishing,
  end: Extract<PodCommandEnd, { kind: 'ended' }>,
  untilMs: number,
): Promise<AttemptOutcome> {
  const { pod, startedAtMs } = finishing;
  const { launch, clock, store, paths, place } = pod;
  // Of what was killed while it wrote, nobody knows whether it is whole.
  await syncAtEnd(finishing, end.exitCode < 128);
  const logTail = await readTail(pod);
  const failure = classifyPodEnd(pod, end, logTail);
  if (failure !== undefined)
    return {
      kind: 'failed',
      attemptName: launch.name,
      ...(await withFullDisk(failure, paths.root)),
      logTail,
      startedAtMs,
      endedAtMs: clock.nowMs(),
    };
  const manifest = await uploadAttempt({
    store,
    executionId: place.executionId,
    name: launch.name,
    origin: buildOrigin(launch.request, launch.runId),
    prefix: storeKeys.pod(place),
    outputs: await collectOutputs(paths.outputs, launch.request.outputs),
    storeLog: async () => await storeWholeLog(pod),
    memory: undefined,
    patientUntilMs: untilMs,
    startedAtMs,
    nowMs: clock.nowMs,
  });
  return outcomeOfManifest(manifest);
}

function classifyPodEnd(
  { launch }: PodContext,
  end: Extract<PodCommandEnd, { kind: 'ended' }>,
  logTail: readonly string[],
): AttemptFailure | undefined {
  const { step, resources } = launch.request;
  const { exitCode, memoryKills } = end;
  if (end.refused !== undefined)
    return {
      code: 'CommandNotFound',
      message: `Step "${step}": its command ${end.refused}. Use an image that has it, or correct command:.`,
      exitCode,
    };
  const limit = resources.memory === undefined ? {} : { limitBytes: parseBytes(resources.memory) };
  const ended = { exitCode, killed: exitCode === 137 };
  const memory = { kills: memoryKills, atLimit: true, ...limit };
  if (exitCode === 0 && end.endedBy === undefined && memoryKills > 0)
    return {
      code: 'OutOfMemory',
      message: `Step "${step}" ended with 0, but a process of it was killed because it ran out of memory${resources.memory === undefined ? '' : ` (limit ${resources.memory})`}: what it made may lack something. Raise resources.memory or set retry.outOfMemory.`,
      exitCode,
    };
  return classifyEnd(
    { request: launch.request, unclaimedMs: 0 },
    { end: end.endedBy === 'timeout' ? { ...ended, endedBy: 'timeout' } : ended, logTail, memory },
  );
}

async function readTail({ paths }: PodContext): Promise<string[]> {
  return await withSafePath(paths.root, paths.log, readLogTail).catch(() => []);
}

const RETRY_MS = 2_000;

/** Repeats what a store that does not answer kept from being done, until a time. */
async function patiently({ clock }: PodContext, untilMs: number, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const passes = error instanceof AnnealError && error.code === 'StoreUnavailable';
      if (!passes || clock.nowMs() + RETRY_MS > untilMs) throw error;
    }
    await delay(RETRY_MS);
  }
}
