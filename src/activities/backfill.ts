import { setTimeout as wait } from 'node:timers/promises';
import type { SystemActivities } from '../core/activities.js';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { partitionRunId, type EndedPartition, type PartitionPlan } from '../core/backfill.js';
import {
  codeUsedBy,
  isMade,
  partitionParameters,
  type BuildCode,
  type MadePartition,
  type PartitionMaking,
  type RunParameters,
} from '../core/made-partition.js';
import { toPathSegment, type RunStatus } from '../core/run.js';
import type { ActivityContext } from './ports/activity-context.js';
import type { KnownBuild, PartitionDirectory } from './ports/partition-directory.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createBackfillActivities} is made of. */
export interface BackfillDeps {
  readonly project: string;
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
  { pipeline, keys, again, params = {} }: Parameters<SystemActivities['planPartitions']>[0],
  signal: AbortSignal,
): Promise<PartitionPlan[]> {
  const build = again ? undefined : await deps.partitions.readCurrentBuild();
  const plans: PartitionPlan[] = [];
  for (let at = 0; at < keys.length; at += AT_ONCE) {
    signal.throwIfAborted();
    const some = keys.slice(at, at + AT_ONCE);
    plans.push(
      ...(await Promise.all(
        some.map(
          async (key) =>
            await planOne(deps, { pipeline, key, now: makingOf(build, { pipeline, key, params }) }),
        ),
      )),
    );
  }
  return plans;
}

/** What a partition would be made with; undefined where nothing tells, so that it is made. */
function makingOf(
  build: KnownBuild | undefined,
  {
    pipeline,
    key,
    params,
  }: { readonly pipeline: string; readonly key: string; readonly params: RunParameters },
): PartitionMaking | undefined {
  const definition = build?.pipelines.find(({ name }) => name === pipeline);
  if (build === undefined || definition === undefined) return undefined;
  const { digest, code } = build;
  const parameters = partitionParameters(definition, key, params);
  return { build: digest, parameters, ...(code === undefined ? {} : { code }) };
}

async function planOne(
  deps: BackfillDeps,
  {
    pipeline,
    key,
    now,
  }: { readonly pipeline: string; readonly key: string; readonly now: PartitionMaking | undefined },
): Promise<PartitionPlan> {
  const { project, store } = deps;
  const made = now === undefined ? undefined : await readMade(store, { project, pipeline, key });
  if (now !== undefined && isMade(made, now)) return { key, action: 'skip', runId: made.runId };
  for (let attempt = 1; ; attempt++) {
    const runId = partitionRunId(pipeline, key, attempt);
    const found = await deps.partitions.look(runId);
    if (found !== 'closed') return { key, runId, action: found === 'open' ? 'watch' : 'start' };
  }
}

/** What made a partition, as long as what it made is there. */
export async function readMade(
  store: Pick<ArtifactStore, 'readBytes' | 'stat'>,
  { project, pipeline, key }: { readonly project: string; readonly pipeline: string; readonly key: string },
): Promise<MadePartition | undefined> {
  const bytes = await store.readBytes(
    storeKeys.partition({ project, pipeline, segment: toPathSegment(key) }),
  );
  if (bytes === undefined) return undefined;
  const made = JSON.parse(Buffer.from(bytes).toString('utf8')) as MadePartition;
  return (await store.stat(storeKeys.run(made.executionId))) === undefined ? undefined : made;
}

/** What {@link recordPartition} is made of. */
export interface PartitionRecordDeps {
  readonly store: Pick<ArtifactStore, 'putBytes'>;
  /** Code of a build; undefined where this machine cannot say. Absent: it never can. */
  readonly readBuildCode?: (build: string) => Promise<BuildCode | undefined>;
}

/** Writes down that a run has made its partition. The newest counts. */
export async function recordPartition(
  { store, readBuildCode }: PartitionRecordDeps,
  run: RunStatus,
): Promise<void> {
  const { project, pipeline, partition: key, state, runId, executionId, build, endedAtMs = 0 } = run;
  if (key === undefined || (state !== 'completed' && state !== 'not-promoted')) return;
  const code = await readBuildCode?.(build);
  const made: MadePartition = {
    ...{ key, runId, executionId, build },
    ...(code === undefined ? {} : { code: codeUsedBy(run, code) }),
    parameters: run.parameters,
    endedAtMs,
  };
  await store.putBytes(
    storeKeys.partition({ project, pipeline, segment: toPathSegment(key) }),
    Buffer.from(`${JSON.stringify(made)}\n`),
  );
}
