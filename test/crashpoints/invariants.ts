import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { verifyOutputs } from '../../src/activities/cache-verify.js';
import { sweepUploads } from '../../src/adapters/open-store.js';
import { sweepLeftovers } from '../../src/adapters/process-executor/sweep-leftovers.js';
import { runProgram } from '../../src/adapters/run-program.js';
import { readMoves } from '../../src/core/alias-moves.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { CacheEntry, Claim, Generation } from '../../src/core/claims.js';
import { readGenerations } from '../../src/core/claims.js';
import { laneWorkflowId } from '../../src/core/registry.js';
import type { RunStatus } from '../../src/core/run.js';
import { createExecutions } from '../../src/workers/executions.js';
import { until } from '../system/support/until.js';
import { CRASH_PIPELINE, CRASH_STEPS } from './crash-project.js';
import type { CrashRun } from './crash-run.js';
import type { CrashWorld } from './crash-world.js';
import { readMlflow } from './mlflow-reader.js';

/** What must hold after each point. A check answers with what it found instead. */
export interface Invariant {
  readonly name: string;
  readonly check: (world: CrashWorld, run: CrashRun) => Promise<readonly string[]>;
}

/** A broken promise. */
export interface Violation {
  readonly invariant: string;
  readonly evidence: string;
}

export const INVARIANTS: readonly Invariant[] = [
  { name: 'one terminal state', check: checkEnd },
  { name: "each step's success once, or adopted", check: checkSteps },
  { name: 'one model version for a run, step and digest', check: checkModel },
  { name: 'no MLflow run left RUNNING', check: checkTracking },
  { name: 'no cache entry without bytes, no claim that blocks', check: checkCache },
  { name: 'no orphan process', check: checkProcesses },
  { name: 'no orphan upload or leftover that is not swept', check: checkLeftovers },
];

/** Checks everything. An invariant that cannot be looked at counts as broken. */
export async function checkInvariants(world: CrashWorld, run: CrashRun): Promise<Violation[]> {
  const violations: Violation[] = [];
  for (const { name, check } of INVARIANTS) {
    const found = await check(world, run).catch((error: unknown) => [
      `could not be checked: ${String(error)}`,
    ]);
    violations.push(...found.map((evidence) => ({ invariant: name, evidence })));
  }
  return violations;
}

/** Collects what does not hold. */
function collect(): { readonly found: string[]; must(holds: boolean, otherwise: string): void } {
  const found: string[] = [];
  return { found, must: (holds, otherwise) => void (holds || found.push(otherwise)) };
}

async function checkEnd({ temporal, store }: CrashWorld, run: CrashRun): Promise<string[]> {
  const { found, must } = collect();
  must(run.problem === undefined, `the run ${run.problem ?? ''}`);
  must(run.result?.version === 1, `its result is ${JSON.stringify(run.result)}`);
  const bytes = await store.readBytes(storeKeys.run(run.executionId));
  const record = bytes && (JSON.parse(Buffer.from(bytes).toString()) as RunStatus);
  must(record?.state === 'completed', `run.json says ${record?.state ?? 'nothing'}`);
  const { status } = await temporal.workflow.getHandle(run.runId).describe();
  must(status.name === 'COMPLETED', `Temporal says ${status.name}`);
  const lane = await temporal.workflow.getHandle(laneWorkflowId(run.modelName)).describe();
  must(['RUNNING', 'COMPLETED'].includes(lane.status.name), `the lane is ${lane.status.name}`);
  return found;
}

async function checkSteps({ temporal, store }: CrashWorld, run: CrashRun): Promise<string[]> {
  const { found, must } = collect();
  const { events } = await temporal.workflow.getHandle(run.runId).fetchHistory();
  const types = new Map<string, string>();
  const succeeded: string[] = [];
  for (const {
    eventId,
    activityTaskScheduledEventAttributes: scheduled,
    activityTaskCompletedEventAttributes: completed,
    ...event
  } of events ?? []) {
    if (scheduled) types.set(String(eventId), scheduled.activityType?.name ?? '');
    if (event.workflowTaskFailedEventAttributes)
      found.push(`a workflow task failed: ${event.workflowTaskFailedEventAttributes.failure?.message ?? ''}`);
    if (!completed || types.get(String(completed.scheduledEventId)) !== 'executeAttempt') continue;
    const outcome = JSON.parse(Buffer.from(completed.result?.payloads?.[0]?.data ?? []).toString()) as {
      kind: string;
      attemptName: string;
    };
    if (outcome.kind === 'succeeded') succeeded.push(outcome.attemptName);
  }
  must(succeeded.length === CRASH_STEPS.length, `attempts that succeeded: ${succeeded.join(', ')}`);
  const manifests: string[] = [];
  for await (const { key } of store.list(`runs/${run.executionId}/attempts/`))
    if (key.endsWith('/manifest.json')) manifests.push(key.split('/').at(-2) ?? '');
  must(
    same(manifests, succeeded),
    `manifests of ${manifests.join(', ')}, successes of ${succeeded.join(', ')}`,
  );
  must(
    new Set(run.executed).size === run.executed.length,
    `commands that were executed: ${run.executed.join(', ')}`,
  );
  return found;
}

async function checkModel({ trackingUri }: CrashWorld, run: CrashRun): Promise<string[]> {
  const { found, must } = collect();
  const { versions, loggedModels, aliases, modelTags } = await readMlflow(trackingUri, {
    ...run,
    pipeline: CRASH_PIPELINE,
  });
  must(versions.length === 1 && versions[0]?.status === 'READY', `versions: ${JSON.stringify(versions)}`);
  const ready = loggedModels.filter(({ status }) => status === 'LOGGED_MODEL_READY');
  const open = loggedModels.filter(({ status }) => status === 'LOGGED_MODEL_PENDING');
  must(ready.length === 1 && open.length === 0, `logged models: ${JSON.stringify(loggedModels)}`);
  must(aliases['champion'] === '1', `aliases: ${JSON.stringify(aliases)}`);
  const moves = readMoves(modelTags).get('champion') ?? [];
  must(
    moves.length === 1 && moves[0]?.done === true && !moves[0].void,
    `moves of the alias: ${JSON.stringify(moves)}`,
  );
  return found;
}

/** A parent, a run for each attempt, and one for the call that the cache answered. */
async function checkTracking({ trackingUri }: CrashWorld, run: CrashRun): Promise<string[]> {
  const { found, must } = collect();
  const { runs } = await readMlflow(trackingUri, { ...run, pipeline: CRASH_PIPELINE });
  must(
    runs.every(({ status }) => status !== 'RUNNING'),
    `runs: ${JSON.stringify(runs)}`,
  );
  must(runs.filter(({ isParent }) => isParent).length === 1, `parents: ${JSON.stringify(runs)}`);
  const finished = runs.filter(({ status, isParent }) => status === 'FINISHED' && !isParent);
  must(finished.length === CRASH_STEPS.length + 1, `finished runs: ${JSON.stringify(runs)}`);
  return found;
}

async function checkCache(world: CrashWorld, run: CrashRun): Promise<string[]> {
  const { store, temporal } = world;
  const { found, must } = collect();
  const step = CRASH_STEPS[0];
  const objects: string[] = [];
  for await (const { key } of store.list(storeKeys.cacheStep(step))) objects.push(key);
  const keys = new Set(objects.map((key) => key.split('/')[2] ?? ''));
  const own = (
    await Promise.all([...keys].map(async (key) => ((await isKeyOf(world, key, run)) ? [key] : [])))
  ).flat();
  must(own.length === 1, `cache keys of the run: ${own.join(', ')}`);
  const { isHolderLive } = createExecutions(temporal);
  for (const key of own) {
    const generations = readGenerations(objects.filter((one) => one.includes(`/${key}/`)));
    const result = generations.findLast(({ entry, closed }) => entry && !closed);
    must(result !== undefined, `no result in the cache: ${JSON.stringify(generations)}`);
    for (const { number } of generations.filter(({ entry, closed }) => entry && !closed)) {
      const entry = await readJson<CacheEntry>(world, { step, key, number }, 'entry');
      const problem = entry && (await verifyOutputs(store, entry, 'full'));
      must(entry !== undefined && problem === undefined, `entry ${number}: ${problem ?? 'cannot be read'}`);
    }
    for (const open of generations.filter(isOpen)) {
      const claim = await readJson<Claim>(world, { step, key, number: open.number }, 'claim');
      must(
        claim !== undefined && !(await isHolderLive(claim)),
        `claim ${open.number} blocks: ${JSON.stringify(claim)}`,
      );
    }
  }
  return found;
}

const seenKeys = new WeakMap<CrashWorld, Map<string, string>>();

/** Claims are never changed: whose key it is is read once. */
async function isKeyOf(world: CrashWorld, key: string, run: CrashRun): Promise<boolean> {
  const known = seenKeys.get(world) ?? new Map<string, string>();
  seenKeys.set(world, known);
  if (!known.has(key)) {
    const claim = await readJson<Claim>(world, { step: CRASH_STEPS[0], key, number: 1 }, 'claim');
    known.set(key, claim?.runId ?? '');
  }
  return known.get(key) === run.runId;
}

async function readJson<T>(
  { store }: CrashWorld,
  { step, key, number }: { readonly step: string; readonly key: string; readonly number: number },
  object: string,
): Promise<T | undefined> {
  const bytes = await store.readBytes(
    `${storeKeys.cacheGeneration({ step, key, generation: number })}${object}.json`,
  );
  return bytes && (JSON.parse(Buffer.from(bytes).toString()) as T);
}

function isOpen({ claim, entry, closed }: Generation): boolean {
  return claim && !entry && !closed;
}

const SETTLE_MS = 5_000;

async function checkProcesses({ paths }: CrashWorld): Promise<string[]> {
  let left: string[] = [];
  const none = async () => {
    const { stdout } = await runProgram({
      file: 'ps',
      args: ['-A', '-ww', '-o', 'pid=,args='],
      env: process.env,
    });
    left = stdout.split('\n').filter((line) => line.includes(paths.attemptsDir));
    return left.length === 0;
  };
  await until('nothing of an attempt runs', none, SETTLE_MS).catch(() => undefined);
  return left;
}

const LATER_MS = 12 * 3_600_000;

/** What a dead process left half-made goes with the sweeps that every worker does when it starts, hours later. */
async function checkLeftovers({ paths, s3 }: CrashWorld): Promise<string[]> {
  const { attemptsDir, store } = paths;
  const nowMs = Date.now() + LATER_MS;
  await sweepLeftovers({ attemptsDir, nowMs: () => nowMs, ...(s3 ? {} : { storeDir: store.root }) });
  await sweepUploads(store, nowMs);
  const local = (await readdir(attemptsDir).catch(() => [])).map(
    (name) => `${name} in the folder of attempts`,
  );
  const incoming = s3 ? [] : await readdir(path.join(store.root, '.incoming')).catch(() => []);
  const uploads = s3 ? ((await s3.s3.listMultipartUploads({ Bucket: s3.bucket })).Uploads ?? []) : [];
  return [
    ...local,
    ...incoming.map((name) => `${name} on its way into the store`),
    ...uploads.map(({ Key }) => `upload of ${Key ?? ''}`),
  ];
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return JSON.stringify([...left].sort()) === JSON.stringify([...right].sort());
}
