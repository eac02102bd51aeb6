import { randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from '@temporalio/worker';
import { createPayloadCodec } from '../dist/adapters/payload-codec.js';
import { createFileStore } from '../dist/adapters/file-store/create-file-store.js';
import { poolsForHost } from '../dist/config/host-pools.js';
import type { PipelineActivities, RunSnapshot } from '../dist/core/activities.js';
import { STATUS_QUERY, type RunStatus } from '../dist/core/run.js';
import { hostname } from 'node:os';
import { readWorkflowCode, type BenchStack } from './stack.js';

/** Bytes of JavaScript heap that one waiting run holds. */
export interface HeapPerRun {
  /** A run of the churn example that waits for its approval. */
  readonly churn: number;
  /** A hand-written workflow with as many activities that waits as well. */
  readonly t0: number;
}

/**
 * The runs live in this thread (the worker's debug mode), where garbage can be collected and the heap read; a worker keeps them in a
 * thread of its own, with the same code.
 */
export async function measureHeapPerRun(stack: BenchStack, runs: number): Promise<HeapPerRun> {
  const activities = { ...pipelineActivities(stack) };
  const code = await readWorkflowCode(stack.build);
  const parameters = { threshold: 0, approve: true };
  return {
    t0: await measure(stack, {
      runs,
      code: stack.baseline.code,
      activities: {},
      start: ['baselineApproval'],
    }),
    churn: await measure(stack, { runs, code, activities, start: ['churn-training', parameters] }),
  };
}

interface Measured {
  readonly runs: number;
  readonly code: string;
  readonly activities: object;
  /** Workflow type and its arguments. */
  readonly start: readonly [string, ...unknown[]];
}

async function measure(stack: BenchStack, { runs, code, activities, start }: Measured): Promise<number> {
  const { client, connection, config } = stack;
  setFlagsFromString('--expose-gc');
  // All runs share the code: whether some of it is thrown away between two looks at the heap says nothing of a run.
  setFlagsFromString('--no-flush-bytecode');
  const collect = runInNewContext('gc') as () => void;
  const taskQueue = `bench/heap/${start[0]}`;
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowBundle: { code },
    activities,
    dataConverter: { payloadCodecs: [createPayloadCodec(createFileStore({ root: config.store.root }))] },
    maxCachedWorkflows: runs * 3,
    debugMode: true,
  });
  const running = worker.run();
  const heapWith = async (count: number) => {
    await Promise.all(
      Array.from({ length: count }, async () => await untilApproval(client, taskQueue, start)),
    );
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    return process.memoryUsage().heapUsed;
  };
  try {
    // The first runs also pay for what all share: compiled code, caches of shapes.
    const before = await heapWith(runs);
    const after = await heapWith(runs);
    return (after - before) / runs;
  } finally {
    const query = `TaskQueue = '${taskQueue}' AND ExecutionStatus = 'Running'`;
    for await (const { workflowId } of client.workflow.list({ query }))
      await client.workflow.getHandle(workflowId).terminate();
    worker.shutdown();
    await running;
  }
}

async function untilApproval(
  client: BenchStack['client'],
  taskQueue: string,
  [type, ...args]: Measured['start'],
): Promise<void> {
  const handle = await client.workflow.start(type, { taskQueue, workflowId: `heap-${randomUUID()}`, args });
  for (;;) {
    const { state, failure } = await handle.query<RunStatus>(STATUS_QUERY);
    if (state === 'waiting-for-approval') return;
    if (failure) throw new Error(`${failure.code}: ${failure.message}`);
  }
}

function pipelineActivities({ config, build }: BenchStack): PipelineActivities {
  const { steps } = build.manifest;
  const snapshot: RunSnapshot = {
    project: config.project,
    build: build.digest,
    pools: poolsForHost(config, { name: hostname() }),
    codeDigests: Object.fromEntries(steps.map((step) => [step.name, step.codeDigest])),
    pythonDigests: {},
    tracked: false,
  };
  return {
    snapshotRun: () => Promise.resolve(snapshot),
    runTask: ({ input }) => Promise.resolve(input),
    resolveApprovers: () => Promise.resolve({}),
    askCache: () => Promise.resolve({ kind: 'claimed', generation: 1 }),
    awaitCache: () => Promise.reject(new Error('nobody waits here')),
  };
}
