import { openStore } from '../../adapters/open-store.js';
import type { ArtifactStore, PodPlace } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import type { PodLaunch } from '../../core/pod-launch.js';
import type { PodPaths } from '../../core/pod-layout.js';
import { POD_ROOT, podPaths, podVariables } from '../../core/pod-layout.js';
import type { S3Settings } from '../../core/store-location.js';

/** What a program of ours in a pod works with. */
export interface PodContext {
  readonly store: ArtifactStore;
  readonly launch: PodLaunch;
  readonly place: PodPlace;
  readonly paths: PodPaths;
  readonly clock: { nowMs(): number };
}

/** Where the volume and the file for the last message are; arguments of the programs, for tests. */
export interface PodPlaces {
  readonly paths: PodPaths;
  readonly terminationLog: string;
}

/** From the arguments of a program: nothing, in a pod. */
export function readPlaces([
  root = POD_ROOT,
  terminationLog = '/dev/termination-log',
]: readonly string[]): PodPlaces {
  return { paths: podPaths(root), terminationLog };
}

/**
 * Reads what the pod is to do. The launch is taken from the store, where nobody can change it any more.
 * @throws AnnealError StoreUnavailable, InputMissing when it is not there, InvalidConfig when the environment is not that of a pod.
 */
export async function readPodContext(env: NodeJS.ProcessEnv, paths: PodPaths): Promise<PodContext> {
  const s3 = env[podVariables.s3];
  const store = openStore({
    root: variable(env, podVariables.store),
    ...(s3 === undefined ? {} : { s3: JSON.parse(s3) as S3Settings }),
  });
  const key = variable(env, podVariables.launch);
  const podUid = variable(env, podVariables.podUid);
  const bytes = await store.readBytes(key);
  if (bytes === undefined)
    throw new AnnealError(
      'InputMissing',
      `what its pod is to do is not in the store (${store.uriOf(key)}). Start a new run.`,
    );
  const launch = JSON.parse(new TextDecoder().decode(bytes)) as PodLaunch;
  const place = { executionId: launch.request.executionId, attemptName: launch.name, podUid };
  return { store, launch, place, paths, clock: { nowMs: () => Date.now() } };
}

function variable(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name];
  if (value !== undefined && value !== '') return value;
  throw new AnnealError(
    'InvalidConfig',
    `${name} is not set: this program runs in the pods that Anneal makes.`,
  );
}
