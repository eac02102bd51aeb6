import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { laneWorkflowId } from '../../src/core/registry.js';
import { pipelinesTaskQueue } from '../../src/core/run.js';
import { until } from '../system/support/until.js';
import { CRASH_PIPELINE } from './crash-project.js';
import type { CrashPoint } from './crash-point.js';
import type { CrashWorker } from './crash-worker.js';
import type { CrashWorld } from './crash-world.js';

/** A run that has come to its end, or has not in time. */
export interface CrashRun {
  readonly runId: string;
  readonly executionId: string;
  readonly modelName: string;
  readonly result: { readonly version?: number } | undefined;
  /** How it failed, or that it did not end. */
  readonly problem: string | undefined;
  /** Whether something was killed. */
  readonly fired: boolean;
  /** One line `<step> <attempt>` for each command that was executed. */
  readonly executed: readonly string[];
  readonly ms: number;
}

const PATIENCE_MS = 60_000;
const POLL_MS = 50;
/** As short as a busy machine allows: a workflow task of a dead worker is given to another one after it. */
const WORKFLOW_TASK_MS = 2_000;

/** Starts a run, lets the point happen, sees to it that there is always a worker, and waits for the end. */
export async function runOnce(
  world: CrashWorld,
  runId: string,
  point: CrashPoint | undefined,
): Promise<CrashRun> {
  const { temporal, tripwire, project, root, scenario } = world;
  const startedAt = performance.now();
  const worker = await world.worker();
  tripwire.arm({ runId, point, workerPid: worker.pid });
  const ledger = path.join(root, `${runId}.ledger`);
  const modelName = `model-${runId}`;
  const handle = await temporal.workflow.start(CRASH_PIPELINE, {
    workflowId: runId,
    taskQueue: pipelinesTaskQueue(project),
    workflowTaskTimeout: WORKFLOW_TASK_MS,
    args: [{ ledger, modelName, rough: scenario === 'rough' }],
  });
  const end = await endOf(world, handle.result() as Promise<{ version?: number }>);
  await afterEnd(world, { worker, point, modelName });
  const result = typeof end === 'object' ? end : undefined;
  return {
    ...{ runId, modelName, result },
    executionId: handle.firstExecutionRunId,
    problem: typeof end === 'string' ? end : undefined,
    fired: tripwire.hasFired(),
    executed: existsSync(ledger) ? readFileSync(ledger, 'utf8').trim().split('\n') : [],
    ms: performance.now() - startedAt,
  };
}

const AFTER_MS = 3_000;

/** A lane may end after its run, and a process may die after that. */
async function afterEnd(
  { temporal, tripwire }: CrashWorld,
  of: { readonly worker: CrashWorker; readonly point: CrashPoint | undefined; readonly modelName: string },
): Promise<void> {
  const { worker, point, modelName } = of;
  const quietly = async (check: () => Promise<boolean> | boolean) =>
    void (await until('the run has come to rest', check, AFTER_MS).catch(() => undefined));
  if (point === undefined) {
    const lane = temporal.workflow.getHandle(laneWorkflowId(modelName));
    return await quietly(async () => (await lane.describe()).status.name !== 'RUNNING');
  }
  await quietly(() => tripwire.hasFired());
  const workerDies = point.victims === 'both' || !point.effect.name.startsWith('supervisor ');
  if (tripwire.hasFired() && workerDies) await quietly(() => !worker.isAlive());
}

async function endOf<T>(world: CrashWorld, result: Promise<T>): Promise<T | string> {
  let end: { readonly value: T } | { readonly error: unknown } | undefined;
  result.then(
    (value) => (end = { value }),
    (error: unknown) => (end = { error }),
  );
  const deadline = performance.now() + PATIENCE_MS;
  while (end === undefined && performance.now() < deadline) {
    await world.worker();
    await delay(POLL_MS);
  }
  if (end === undefined) return `did not end in ${PATIENCE_MS / 1_000} s`;
  return 'value' in end ? end.value : `failed: ${describe(end.error)}`;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
