import { randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from '@temporalio/worker';
import { createPayloadCodec } from '../dist/adapters/payload-codec.js';
import { createFileStore } from '../dist/adapters/file-store/create-file-store.js';
import { poolsForHost } from '../dist/config/host-pools.js';
import type { PipelineActivities, RunSnapshot } from '../dist/core/activities.js';
import { STATUS_QUERY, type RunStatus } from '../dist/core/run.js';
import { hostName } from '../dist/workers/worker-deps.js';
import { readWorkflowCode, type BenchStack } from './stack.js';

const QUEUE = 'bench/heap';

/**
 * Bytes of JavaScript heap that one run of the churn example holds while it waits for its approval. The runs live in this thread
 * (the worker's debug mode), where garbage can be collected and the heap read; a worker keeps them in a thread of its own, with the same code.
 */
export async function measureHeapPerRun(stack: BenchStack, runs: number): Promise<number> {
  const { client, connection, config } = stack;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const worker = await Worker.create({
    connection,
    taskQueue: QUEUE,
    workflowBundle: { code: await readWorkflowCode(stack.build) },
    activities: { ...pipelineActivities(stack) },
    dataConverter: { payloadCodecs: [createPayloadCodec(createFileStore({ root: config.store }))] },
    maxCachedWorkflows: runs * 3,
    debugMode: true,
  });
  const running = worker.run();
  const heapWith = async (count: number) => {
    await Promise.all(Array.from({ length: count }, async () => await untilApproval(client)));
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
    for await (const { workflowId } of client.workflow.list({
      query: `TaskQueue = '${QUEUE}' AND ExecutionStatus = 'Running'`,
    }))
      await client.workflow.getHandle(workflowId).terminate();
    worker.shutdown();
    await running;
  }
}

async function untilApproval(client: BenchStack['client']): Promise<void> {
  const handle = await client.workflow.start('churn-training', {
    taskQueue: QUEUE,
    workflowId: `heap-${randomUUID()}`,
    args: [{ threshold: 0, approve: true }],
  });
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
    pools: poolsForHost(config, { name: hostName() }),
    codeDigests: Object.fromEntries(steps.map((step) => [step.name, step.codeDigest])),
    pythonDigests: {},
    tracked: false,
  };
  return {
    snapshotRun: () => Promise.resolve(snapshot),
    runTask: ({ input }) => Promise.resolve(input),
    lookUpCache: () => Promise.resolve(null),
  };
}
