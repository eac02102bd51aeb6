// Records the histories under test/histories: `npm run` has no word for it on purpose, see scripts/record-histories.mjs.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import {
  BACKFILL_PAUSE,
  BACKFILL_RESUME,
  BACKFILL_WORKFLOW,
  backfillWorkflowId,
  type BackfillState,
} from '../../src/core/backfill.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { DELIVERY_WORKFLOW, deliveryWorkflowId, type Notification } from '../../src/core/notifications.js';
import { ATTEMPT_BEGAN, BUDGET_MEMO } from '../../src/core/budget.js';
import { pipelinesTaskQueue, systemTaskQueue, type RunStatus } from '../../src/core/run.js';
import { SWEEP_NOW, SWEEPER_WORKFLOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import { failed, POOL_QUEUE, PROJECT, startHarness, succeeded, type Harness } from '../workflows/harness.js';
import { bundlePipelines } from './bundles.js';

interface Recording {
  readonly name: string;
  readonly pipeline: string;
  readonly parameters?: object;
  readonly budget?: number;
  readonly snapshot?: Harness['snapshot'];
  readonly script?: Harness['script'];
  readonly during?: (h: Harness, workflowId: string) => Promise<void>;
}

const histories = fileURLToPath(new URL('../histories', import.meta.url));

/** Outputs with an F1, and a training loss. */
const scored =
  (f1: number) =>
  (request: AttemptRequest): AttemptOutcome =>
    succeeded(request, {
      metrics: { f1, accuracy: f1, auc: f1, train_loss: 0.2 },
      score: { f1, kind: 'forest' },
    });

const failing =
  (step: string, code: 'StepRefused' | 'AttemptLost', times: number): Harness['script'] =>
  (request) =>
    request.step === step && request.attempt <= times ? failed(request, code) : scored(0.94)(request);

const hanging =
  (step: string): Harness['script'] =>
  async (request, signal) =>
    request.step === step
      ? await new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
        )
      : scored(0.94)(request);

const decide =
  (decision: 'approve' | 'reject') =>
  async (h: Harness, workflowId: string): Promise<void> => {
    const handle = h.client.workflow.getHandle(workflowId);
    const [open] = await until(async () => (await handle.query<RunStatus>('status')).approvals);
    await handle.executeUpdate('decide', {
      args: [{ gate: open?.gate, digest: open?.digest, decision, by: 'ana' }],
    });
  };

const cancelDuring =
  (step: string) =>
  async (h: Harness, workflowId: string): Promise<void> => {
    await until(() => h.attempts.filter((attempt) => attempt.step === step));
    await h.client.workflow.getHandle(workflowId).cancel();
  };

const pricedPool = (perSecond: number) => ({
  ...{ name: 'cpu', executor: 'kubernetes' as const, taskQueue: POOL_QUEUE, controlQueue: POOL_QUEUE },
  ...{ cpu: 4, memory: '8Gi', gpu: 0, gpuOptional: true, pricePerHour: perSecond * 3_600 },
});

const recordings: readonly Recording[] = [
  { name: 'churn-training-passes', pipeline: 'churn-training' },
  {
    name: 'churn-training-does-not-pass',
    pipeline: 'churn-training',
    parameters: { table: 'wa_churn' },
    script: scored(0.805),
  },
  {
    name: 'churn-training-refuses-data',
    pipeline: 'churn-training',
    script: failing('validate-data', 'StepRefused', 9),
  },
  {
    name: 'churn-training-loses-an-attempt',
    pipeline: 'churn-training',
    script: failing('train-model', 'AttemptLost', 1),
  },
  { name: 'churn-training-refuses-parameters', pipeline: 'churn-training', parameters: { threshold: 7 } },
  {
    name: 'churn-training-is-approved',
    pipeline: 'churn-training',
    parameters: { approve: true },
    during: decide('approve'),
  },
  {
    name: 'churn-training-is-rejected',
    pipeline: 'churn-training',
    parameters: { approve: true },
    during: decide('reject'),
  },
  {
    name: 'churn-training-is-cancelled',
    pipeline: 'churn-training',
    script: hanging('train-model'),
    during: cancelDuring('train-model'),
  },
  {
    name: 'churn-training-continues-as-new',
    pipeline: 'churn-training',
    parameters: { approve: true },
    snapshot: { continueAfterEvents: 12 },
    during: decide('approve'),
  },
  {
    name: 'churn-training-spends-its-budget',
    pipeline: 'churn-training',
    budget: 10,
    snapshot: { pools: [pricedPool(5)], notify: { onFailure: ['ops@example.org'] } },
    script: hanging('ingest'),
    during: async (h, workflowId) => {
      const [attempt] = await until(() => h.attempts.filter(({ step }) => step === 'ingest'));
      if (attempt)
        await h.client.workflow.getHandle(workflowId).signal(ATTEMPT_BEGAN, {
          ...{ callId: attempt.callId, attempt: attempt.attempt, startedAtMs: Date.now() },
        });
    },
  },
  { name: 'churn-sweep', pipeline: 'churn-sweep' },
  { name: 'fan-out-continues-as-new', pipeline: 'fan', snapshot: { continueAfterEvents: 10 } },
  { name: 'sub-pipelines', pipeline: 'outer' },
  { name: 'race', pipeline: 'race' },
];

/** Histories that are recorded again; default: all, and the others go. */
const names = process.argv.slice(2);
const isWanted = (name: string) => names.length === 0 || names.includes(name);

await record();

async function record(): Promise<void> {
  const cli = process.env['ANNEAL_TEST_TEMPORAL'];
  if (cli === undefined)
    throw new Error('ANNEAL_TEST_TEMPORAL is not set; run: node scripts/record-histories.mjs');
  await mkdir(histories, { recursive: true });
  for (const file of await readdir(histories))
    if (isWanted(file.replace(/(-\d+)?\.json$/, ''))) await rm(path.join(histories, file));
  const h = await startHarness(cli, { bundle: await bundlePipelines('./test/replay/pipelines.ts') });
  try {
    for (const recording of recordings) if (isWanted(recording.name)) await recordOne(h, recording);
    if (isWanted('model-lane')) await save(h, { name: 'model-lane', workflowId: 'model/churn-predictor' });
    if (isWanted('delivery') || isWanted('sweeper')) await recordSystem(h);
    if (isWanted('backfill')) await recordBackfill(h);
  } finally {
    await h.close();
  }
}

async function recordOne(h: Harness, recording: Recording): Promise<void> {
  const { name, pipeline, parameters = {}, snapshot = {}, script = scored(0.94), during } = recording;
  h.attempts.length = 0;
  Object.assign(h, { snapshot, script });
  const handle =
    recording.budget === undefined
      ? await h.start(pipeline, parameters, name)
      : await h.client.workflow.start(pipeline, {
          ...{ workflowId: name, taskQueue: pipelinesTaskQueue(PROJECT), args: [parameters] },
          memo: { [BUDGET_MEMO]: recording.budget },
        });
  await during?.(h, handle.workflowId);
  await handle.result().catch(() => undefined);
  let runId: string | undefined = (handle as WorkflowHandleWithFirstExecutionRunId).firstExecutionRunId;
  for (let i = 0; runId !== undefined; i++)
    runId = await save(h, { name: i === 0 ? name : `${name}-${i}`, workflowId: handle.workflowId, runId });
}

/** Anneal's own workflows that no run waits for: a message to two channels, one of them away at first; a sweeper that is asked to look. */
async function recordSystem(h: Harness): Promise<void> {
  const taskQueue = systemTaskQueue(PROJECT);
  let tries = 0;
  h.deliver = ({ channel }) => {
    if (channel.name === 'email' && tries++ === 0) throw new Error('the mail server is away');
  };
  const to = ['ana@example.org', 'slack:ml'];
  const notification: Notification = {
    ...{ id: 'message', event: 'message', to, subject: 'hello', text: 'x', runId: 'r', executionId: 'e' },
  };
  const workflowId = deliveryWorkflowId(PROJECT, notification);
  await h.client.workflow.execute(DELIVERY_WORKFLOW, { taskQueue, workflowId, args: [notification] });
  await save(h, { name: 'delivery', workflowId });
  let sweeps = 0;
  h.sweep = (state) => ({ ...state, watermarkMs: ++sweeps });
  const sweeper = await h.client.workflow.start(SWEEPER_WORKFLOW, {
    ...{ taskQueue, workflowId: sweeperWorkflowId(PROJECT), args: [] },
  });
  await until(() => (sweeps === 1 ? [true] : []));
  await sweeper.signal(SWEEP_NOW);
  await until(() => (sweeps === 2 ? [true] : []));
  await sweeper.terminate('recorded');
  await save(h, { name: 'sweeper', workflowId: sweeper.workflowId });
}

/** Partitions of which one fails, with so little history that it continues as new while one is under way. */
async function recordBackfill(h: Harness): Promise<void> {
  h.script = async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return scored(0.94)(request);
  };
  const keys = ['mlc_churn', 'no-such-table', 'wa_churn'];
  const state: BackfillState = {
    ...{ project: PROJECT, pipeline: 'churn-training', parameter: 'table', concurrency: 2 },
    ...{ queue: [{ keys, again: false, params: {} }], running: [], failed: [], startedAtMs: 0 },
    ...{ made: 0, skipped: 0, cancelled: 0, paused: false, cancelling: false, continueAfterEvents: 20 },
  };
  const handle = await h.client.workflow.start(BACKFILL_WORKFLOW, {
    ...{
      taskQueue: systemTaskQueue(PROJECT),
      workflowId: backfillWorkflowId('churn-training'),
      args: [state],
    },
  });
  await handle.executeUpdate(BACKFILL_PAUSE);
  await handle.executeUpdate(BACKFILL_RESUME);
  await handle.result();
  let runId: string | undefined = handle.firstExecutionRunId;
  for (let i = 0; runId !== undefined; i++)
    runId = await save(h, {
      name: i === 0 ? 'backfill' : `backfill-${i}`,
      workflowId: handle.workflowId,
      runId,
    });
}

/** Writes one execution and answers with the one that it continued as. */
async function save(
  h: Harness,
  of: { readonly name: string; readonly workflowId: string; readonly runId?: string },
): Promise<string | undefined> {
  const handle = h.client.workflow.getHandle(of.workflowId, of.runId);
  await until(async () => ((await handle.describe()).status.name === 'RUNNING' ? [] : [true]));
  const history = await handle.fetchHistory();
  const last = history.events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  const text = JSON.stringify(withoutMachine(JSON.parse(historyToJSON(history))));
  await writeFile(path.join(histories, `${of.name}.json`), `${text}\n`);
  process.stdout.write(
    `${of.name}: ${history.events?.length ?? 0} events, ${Math.ceil(text.length / 1024)} KiB\n`,
  );
  return last ?? undefined;
}

/** Who ran it and where says nothing about what ran. */
function withoutMachine(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMachine);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => name !== 'stackTrace');
  return Object.fromEntries(
    entries.map(([name, member]) => [name, name === 'identity' ? 'recorder' : withoutMachine(member)]),
  );
}

async function until<T>(probe: () => readonly T[] | Promise<readonly T[]>): Promise<readonly T[]> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await probe();
    if (found.length > 0) return found;
    if (Date.now() > deadline) throw new Error('The condition did not come true in a minute.');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
