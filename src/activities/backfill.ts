import { setTimeout as wait } from 'node:timers/promises';
import type { SystemActivities } from '../core/activities.js';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import {
  partitionRunId,
  type EndedPartition,
  type MadePartition,
  type PartitionPlan,
} from '../core/backfill.js';
import { toPathSegment, type RunStatus } from '../core/run.js';
import type { ActivityContext } from './ports/activity-context.js';
import type { PartitionDirectory } from './ports/partition-directory.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createBackfillActivities} is made of. */
export interface BackfillDeps {
  readonly partitions: PartitionDirectory;
  readonly store: Pick<ArtifactStore, 'readBytes' | 'stat'>;
  readonly context: () => ActivityContext;
}

const AT_ONCE = 8;

/** The part of {@link SystemActivities} that a backfill asks. Repeating them is safe. */
export function createBackfillActivities(
  deps: BackfillDeps,
): Pick<SystemActivities, 'planPartitions' | 'awaitRuns'> {
  return {
    planPartitions: (input) => withHeartbeat(deps.context(), (signal) => plan(deps, input, signal)),
    awaitRuns: ({ runIds }) =>
      withHeartbeat(deps.context(), async (signal) => await awaitRuns(deps, runIds, signal)),
  };
}

/** Runs that end together are told together. */
const TOGETHER_MS = 500;

async function awaitRuns(
  { partitions }: BackfillDeps,
  runIds: readonly string[],
  signal: AbortSignal,
): Promise<EndedPartition[]> {
  const enough = new AbortController();
  const ending = AbortSignal.any([signal, enough.signal]);
  const ended: EndedPartition[] = [];
  try {
    await Promise.race(
      runIds.map(async (runId) => void ended.push(await partitions.awaitEnd(runId, ending))),
    );
    await wait(TOGETHER_MS, undefined, { signal });
    return [...ended];
  } finally {
    enough.abort();
  }
}

async function plan(
  deps: BackfillDeps,
  { pipeline, keys, again }: Parameters<SystemActivities['planPartitions']>[0],
  signal: AbortSignal,
): Promise<PartitionPlan[]> {
  const build = again ? undefined : await deps.partitions.readCurrentBuild();
  const plans: PartitionPlan[] = [];
  for (let at = 0; at < keys.length; at += AT_ONCE) {
    signal.throwIfAborted();
    const some = keys.slice(at, at + AT_ONCE);
    plans.push(
      ...(await Promise.all(some.map(async (key) => await planOne(deps, { pipeline, key, build })))),
    );
  }
  return plans;
}

async function planOne(
  deps: BackfillDeps,
  {
    pipeline,
    key,
    build,
  }: { readonly pipeline: string; readonly key: string; readonly build: string | undefined },
): Promise<PartitionPlan> {
  const made = build === undefined ? undefined : await readMade(deps.store, pipeline, key);
  if (made !== undefined && made.build === build) return { key, action: 'skip', runId: made.runId };
  for (let attempt = 1; ; attempt++) {
    const runId = partitionRunId(pipeline, key, attempt);
    const found = await deps.partitions.look(runId);
    if (found !== 'closed') return { key, runId, action: found === 'open' ? 'watch' : 'start' };
  }
}

/** What made a partition, as long as what it made is there. */
export async function readMade(
  store: Pick<ArtifactStore, 'readBytes' | 'stat'>,
  pipeline: string,
  key: string,
): Promise<MadePartition | undefined> {
  const bytes = await store.readBytes(storeKeys.partition(pipeline, toPathSegment(key)));
  if (bytes === undefined) return undefined;
  const made = JSON.parse(Buffer.from(bytes).toString('utf8')) as MadePartition;
  return (await store.stat(storeKeys.run(made.executionId))) === undefined ? undefined : made;
}

/** Writes down that a run has made its partition. The newest counts. */
export async function recordPartition(
  store: Pick<ArtifactStore, 'putBytes'>,
  { pipeline, partition: key, state, runId, executionId, build, endedAtMs = 0 }: RunStatus,
): Promise<void> {
  if (key === undefined || (state !== 'completed' && state !== 'not-promoted')) return;
  const made: MadePartition = { key, runId, executionId, build, endedAtMs };
  await store.putBytes(
    storeKeys.partition(pipeline, toPathSegment(key)),
    Buffer.from(`${JSON.stringify(made)}\n`),
  );
}
