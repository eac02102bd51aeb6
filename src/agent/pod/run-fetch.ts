import { appendFile, chmod, copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { restoreCheckpoint } from '../../adapters/attempt-files/checkpoint-store.js';
import { readStoredOutcome, toBytes } from '../../adapters/attempt-files/stored-outcome.js';
import { createExternalData } from '../../adapters/external-data/create-external-data.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { AttemptFailed } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { toLastMessage } from '../../core/pod-last-message.js';
import type { PodPaths } from '../../core/pod-layout.js';
import { prepareInputs } from '../prepare-attempt.js';
import { failureInPod } from './failure-in-pod.js';
import type { PodContext, PodPlaces } from './pod-context.js';
import { readPodContext } from './pod-context.js';
import { fetchStepCode } from './step-code.js';

/** Fills the volume of a pod. @returns the exit code. Why it could not is in the last message of the container, and in the store. */
export async function runFetch(
  places: PodPlaces,
  { env, programs }: { readonly env: NodeJS.ProcessEnv; readonly programs: string },
): Promise<number> {
  const startedAtMs = Date.now();
  let pod: PodContext | undefined;
  try {
    pod = await readPodContext(env, places.paths);
    await refuseEnded(pod);
    await prepareVolume(places.paths, programs);
    await fillVolume(pod);
    return 0;
  } catch (error) {
    const failure = failureInPod(error, { container: CONTAINER, step: pod?.launch.request.step });
    const text = toLastMessage(failure);
    await writeFile(places.terminationLog, text).catch(() => undefined);
    process.stderr.write(`${text}\n`);
    if (pod) await recordFailure(pod, { ...failure, startedAtMs });
    return 1;
  }
}

const CONTAINER = 'fetch';

/** A Job that was made while its attempt was being ended, by a worker that died before it could take it back, runs nothing. */
async function refuseEnded({ store, place: { executionId, attemptName } }: PodContext): Promise<void> {
  if ((await readStoredOutcome(store, { executionId, name: attemptName })) === undefined) return;
  throw new AnnealError('AttemptKilled', 'its attempt had ended before this pod began.');
}

/** Kubernetes may run this again in the same pod: what an earlier run left half done goes. */
async function prepareVolume(paths: PodPaths, programs: string): Promise<void> {
  for (const name of await readdir(paths.root))
    await rm(path.join(paths.root, name), { recursive: true, force: true });
  for (const folder of [
    path.dirname(paths.busybox),
    paths.control,
    path.dirname(paths.log),
    paths.work,
    paths.inputs,
    paths.parameters,
    paths.outputs,
    paths.checkpoints,
    paths.commands,
    paths.home,
    paths.temporary,
  ])
    await mkdir(folder);
  await copyFile(path.join(programs, 'busybox'), paths.busybox);
  await chmod(paths.busybox, 0o755);
  await copyFile(path.join(programs, 'wrapper.sh'), paths.wrapper);
  for (const file of [paths.log, paths.metricsStream]) await writeFile(file, '');
}

async function fillVolume({ store, launch, paths }: PodContext): Promise<void> {
  const { request } = launch;
  const data = createExternalData(launch.data ?? { allowHosts: [], s3: {} });
  const mountOf = (input: string) => launch.mounted?.[input] ?? path.join(paths.inputs, input);
  await prepareInputs({ store, data }, request, { ...paths, mountOf });
  if (request.code.length > 0) await fetchStepCode(store, request, paths.work);
  if (request.fresh === true) return;
  const restored = await restoreCheckpoint(store, request, {
    directory: paths.checkpoints,
    staging: paths.temporary,
  });
  if (restored === undefined) return;
  const attempt = restored.attempt.split('.', 1)[0] ?? '';
  await appendFile(paths.log, `anneal: restored checkpoint "${restored.entry}" of ${attempt}\n`);
}

/** A store that is away does not change that it failed: the last message says it, too. */
async function recordFailure(
  { store, launch, place, clock }: PodContext,
  failure: Pick<AttemptFailed, 'code' | 'message' | 'startedAtMs'>,
): Promise<void> {
  const outcome: AttemptFailed = {
    kind: 'failed',
    attemptName: launch.name,
    logTail: [],
    endedAtMs: clock.nowMs(),
    ...failure,
  };
  await store
    .putBytes(storeKeys.podOutcome(place), toBytes(outcome), { ifAbsent: true })
    .catch(() => undefined);
}
