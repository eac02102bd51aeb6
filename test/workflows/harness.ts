import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { awaitCache } from '../../src/activities/await-cache.js';
import type { Clock } from '../../src/activities/ports/activity-context.js';
import { createBackfillActivities } from '../../src/activities/backfill.js';
import { createPartitionDirectory } from '../../src/workers/partition-directory.js';
import { settleSlot } from '../../src/activities/settle-slot.js';
import type { StepCache } from '../../src/activities/step-cache.js';
import { readActivityContext } from '../../src/activities/tracking-context.js';
import {
  ADMISSION_ENTER,
  ADMISSION_WORKFLOW,
  admissionWorkflowId,
  type AdmissionTicket,
} from '../../src/core/admission.js';
import type { CommandAnswer } from '../../src/core/step-command.js';
import type { SweepState } from '../../src/core/sweep.js';
import { verifySignature } from '../../src/core/verify-signature.js';
import { ApplicationFailure, type DataConverter } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { asActivities } from '../../src/activities/as-activities.js';
import { findApprovers, findStarter, type ApproverDirectory } from '../../src/activities/approvers.js';
import type {
  ApprovalAnnouncement,
  ChampionInfo,
  CommandDispatch,
  PipelineActivities,
  PoolActivities,
  RunSnapshot,
  SystemActivities,
} from '../../src/core/activities.js';
import type { ArtifactRef } from '../../src/core/artifacts.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import type { Delivery } from '../../src/core/notifications.js';
import type { LaneRequest, LaneResult, LaneWork } from '../../src/core/registry.js';
import type { Json } from '../../src/core/json.js';
import { LANE_SUBMIT, LANE_WITHDRAW, LANE_WORKFLOW, laneWorkflowId } from '../../src/core/registry.js';
import {
  pipelinesTaskQueue,
  STARTED_BY_MEMO,
  STATUS_ATTRIBUTE,
  systemTaskQueue,
  TAGS_ATTRIBUTE,
} from '../../src/core/run.js';

/** As the product's workers: Temporal's own 5 s end the process when 1,000 calls at once meet a busy machine. */
const HOSTING = { isolateExecutionTimeout: '2m' } as const;

export const PROJECT = 'test';
export const POOL_QUEUE = `${PROJECT}/cpu@here`;

/** What a test decides about one attempt. */
export type AttemptScript = (
  request: AttemptRequest,
  signal: AbortSignal,
) => Promise<AttemptOutcome> | AttemptOutcome;

export interface Harness {
  readonly client: Client;
  readonly attempts: AttemptRequest[];
  readonly ended: string[];
  /** Commands that were handed to attempts. */
  readonly commands: CommandDispatch[];
  command: (dispatch: CommandDispatch) => CommandAnswer | Promise<CommandAnswer>;
  readonly notifications: string[];
  /** Channels that took a message, as `<channel> <- <subject>`. */
  readonly deliveries: string[];
  deliver: (delivery: Delivery) => void | Promise<void>;
  sweep: (state: SweepState) => SweepState | Promise<SweepState>;
  backfill: Pick<SystemActivities, 'planPartitions' | 'awaitRuns'>;
  /** Ids of those. */
  readonly notified: string[];
  readonly announcements: ApprovalAnnouncement[];
  /** Who may decide, as anneal.yaml would list them. */
  directory: ApproverDirectory;
  /** Whom the server would have authenticated at the start of runs. */
  principal: string | undefined;
  readonly laneOperations: string[];
  readonly closed: string[];
  script: AttemptScript;
  task: (name: string, input: Json) => Json | Promise<Json>;
  lane: (work: LaneWork) => LaneResult | Promise<LaneResult>;
  /** Runs before a request is sent to a lane. */
  submitting: () => Promise<void>;
  champion: (modelName: string, alias: string) => ChampionInfo | null;
  pin: (uri: string) => ArtifactRef<'Dataset', object> | Promise<ArtifactRef<'Dataset', object>>;
  snapshot: Partial<RunSnapshot>;
  /** Without one, every step that may be cached runs. */
  cache: StepCache | undefined;
  start(pipeline: string, parameters?: object, id?: string, startedBy?: string): Promise<WorkflowHandle>;
  close(): Promise<void>;
}

export function artifact(name: string, values: object = {}): ArtifactRef {
  return {
    kind: 'Dataset',
    uri: `file:///store/${name}`,
    digest: name.padEnd(64, '0'),
    sizeBytes: 1,
    form: 'file',
    values,
  };
}

export function succeeded(
  request: AttemptRequest,
  values: { [output: string]: object } = {},
): AttemptOutcome {
  const outputs = Object.fromEntries(
    Object.entries(request.outputs).map(([output, schema]) => [
      output,
      {
        ...artifact(`${request.callId.slice(0, 8)}${output}`, values[output] ?? {}),
        kind: schema.type === 'artifact' ? schema.kind : 'Artifact',
      },
    ]),
  );
  return {
    kind: 'succeeded',
    attemptName: `${request.step}-${request.attempt}`,
    outputs,
    parameters: {},
    startedAtMs: 0,
    endedAtMs: 1,
  };
}

export function failed(
  request: AttemptRequest,
  code: Extract<AttemptOutcome, { kind: 'failed' }>['code'],
): AttemptOutcome {
  return {
    kind: 'failed',
    attemptName: `${request.step}-${request.attempt}`,
    code,
    message: `Step "${request.step}" failed on purpose.`,
    logTail: ['last line'],
    startedAtMs: 0,
    endedAtMs: 1,
  };
}

/** A dev server and workers with scripted attempts: the real workflows, everything around them under the test's control. */
export async function startHarness(
  temporalCli: string,
  options: {
    readonly workflowsPath?: string;
    readonly bundle?: { readonly code: string };
    readonly dataConverter?: DataConverter;
    /** Temporal's time-skipping server instead of the dev server: time flies while somebody waits for a result. */
    readonly timeSkippingServer?: string;
  } = {},
): Promise<Harness> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const { timeSkippingServer } = options;
  const converter = options.dataConverter && { dataConverter: options.dataConverter };
  const env =
    timeSkippingServer === undefined
      ? await startDevServer(temporalCli)
      : await startTimeSkipping(timeSkippingServer);
  const connection = await NativeConnection.connect({ address: env.address });
  // Its own client lets time fly while it waits for a result.
  const client =
    timeSkippingServer === undefined
      ? new Client({ connection: await Connection.connect({ address: env.address }), ...converter })
      : env.client;
  const state = createState(client);
  const root = path.resolve(fileURLToPath(new URL('../..', import.meta.url)));
  const workflowsPath = options.workflowsPath ?? path.join(root, 'test/workflows/pipelines.ts');
  const pipelines =
    options.bundle ?? (await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') }));
  const system = await bundleWorkflowCode({
    workflowsPath: path.join(root, 'src/workflows/system.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const common = { connection, namespace: 'default', maxHeartbeatThrottleInterval: '500ms', ...converter };
  const workers = [
    await Worker.create({
      ...common,
      taskQueue: pipelinesTaskQueue(PROJECT),
      workflowBundle: pipelines,
      activities: asActivities(pipelineActivities(state)),
      maxCachedWorkflows: 50,
      ...HOSTING,
    }),
    await Worker.create({
      ...common,
      taskQueue: systemTaskQueue(PROJECT),
      workflowBundle: system,
      activities: asActivities(systemActivities(state)),
      ...HOSTING,
    }),
    await Worker.create({
      ...common,
      taskQueue: POOL_QUEUE,
      activities: poolActivities(state),
      maxConcurrentActivityTaskExecutions: 100,
    }),
  ];
  const running = Promise.all(workers.map(async (worker) => await worker.run()));
  let runs = 0;
  return Object.assign(state, {
    start: async (
      pipeline: string,
      parameters: object = {},
      id = `${pipeline}-${process.pid}-${runs++}`,
      startedBy?: string,
    ) =>
      await client.workflow.start(pipeline, {
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowId: id,
        args: [parameters],
        ...(startedBy === undefined ? {} : { memo: { [STARTED_BY_MEMO]: startedBy } }),
      }),
    close: async () => {
      for (const worker of workers) worker.shutdown();
      await running;
      if (client !== env.client) await client.connection.close();
      await connection.close();
      await env.teardown();
    },
  });
}

async function startDevServer(path: string): Promise<TestWorkflowEnvironment> {
  return await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path },
      searchAttributes: [
        { name: 'AnnealStatus', type: 'KEYWORD' },
        { name: 'AnnealTags', type: 'KEYWORD_LIST' },
      ],
      extraArgs: ['--dynamic-config-value', 'history.transferProcessorMaxPollRPS=1000'],
    },
  });
}

async function startTimeSkipping(path: string): Promise<TestWorkflowEnvironment> {
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
  });
  // Numbers of the protocol's enumeration: keyword and list of keywords.
  await env.connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: {
      [STATUS_ATTRIBUTE]: 2,
      [TAGS_ATTRIBUTE]: 7,
    },
  });
  return env;
}

function createState(client: Client) {
  return {
    client,
    attempts: [] as AttemptRequest[],
    ended: [] as string[],
    commands: [] as CommandDispatch[],
    command: (() => ({ state: 'delivered', number: 1 })) as Harness['command'],
    notifications: [] as string[],
    deliveries: [] as string[],
    deliver: (() => undefined) as Harness['deliver'],
    sweep: ((known) => known) as Harness['sweep'],
    backfill: createBackfillActivities({
      project: PROJECT,
      store: { readBytes: () => Promise.resolve(undefined), stat: () => Promise.resolve(undefined) },
      context: readActivityContext,
      partitions: createPartitionDirectory(client, () => Promise.resolve(undefined)),
    }),
    notified: [] as string[],
    announcements: [] as ApprovalAnnouncement[],
    directory: { approvers: [], groups: {} } as ApproverDirectory,
    principal: undefined as string | undefined,
    laneOperations: [] as string[],
    task: ((_name, input) => input) as Harness['task'],
    lane: ((request) => {
      if (request.operation.kind === 'promote' && request.operation.alias === 'refused')
        throw ApplicationFailure.nonRetryable('MLflow refuses', 'TrackingRefused');
      return { version: '7' };
    }) as Harness['lane'],
    submitting: (() => Promise.resolve()) as Harness['submitting'],
    champion: (() => ({ version: '1', metrics: { f1: 0.9 } })) as Harness['champion'],
    pin: (() => Promise.reject(new Error('nothing is pinned here'))) as Harness['pin'],
    closed: [] as string[],
    script: ((request) => succeeded(request)) as AttemptScript,
    snapshot: {} as Partial<RunSnapshot>,
    cache: undefined as StepCache | undefined,
  };
}

type State = ReturnType<typeof createState>;

function pipelineActivities(state: State): PipelineActivities {
  return {
    snapshotRun: () =>
      Promise.resolve({
        project: PROJECT,
        build: 'b'.repeat(64),
        pools: [
          {
            name: 'cpu',
            executor: 'process',
            taskQueue: POOL_QUEUE,
            controlQueue: POOL_QUEUE,
            cpu: 4,
            memory: '8Gi',
            gpu: 0,
            gpuOptional: true,
          },
        ],
        codeDigests: {},
        pythonDigests: {},
        tracked: true,
        ...state.snapshot,
      }),
    runTask: async ({ task, input }) => await state.task(task, input),
    resolveApprovers: async (request) => {
      const people = await Promise.resolve(findApprovers(state.directory, request));
      const { starter } = request;
      return starter
        ? {
            ...people,
            starter: findStarter(state.directory, starter, {
              recorded: state.principal,
              verify: verifySignature,
            }),
          }
        : people;
    },
    askCache: async (query) => (await state.cache?.ask(query, asker())) ?? { kind: 'claimed', generation: 1 },
    awaitCache: async (query, { untilMs, runId }) => {
      const { cache } = state;
      if (!cache) throw new Error('nobody waits here');
      const context = Context.current();
      const timer = setInterval(() => context.heartbeat(), 100);
      const wait = { query, asker: asker(), untilMs, runId };
      return await awaitCache({ cache, clock }, wait, context.cancellationSignal).finally(() =>
        clearInterval(timer),
      );
    },
  };
}

const clock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => {
    await wait(ms, undefined, { signal });
  },
};

function asker() {
  const { workflowId: runId, epoch } = readActivityContext();
  return { runId, epoch };
}

function poolActivities(state: State): PoolActivities {
  return {
    executeAttempt: async (request, slot) => {
      state.attempts.push(request);
      const context = Context.current();
      const timer = setInterval(() => context.heartbeat(), 100);
      try {
        const outcome = await state.script(request, context.cancellationSignal);
        const { runId } = asker();
        if (state.cache) await settleSlot(state.cache, { slot, request, runId, outcome });
        return outcome;
      } finally {
        clearInterval(timer);
      }
    },
    commandAttempt: async (dispatch) => {
      state.commands.push(dispatch);
      return await state.command(dispatch);
    },
    endAttempt: (request) => {
      state.ended.push(`${request.step}/${request.attempt}`);
      return Promise.resolve();
    },
  };
}

async function findClosed(client: Client, tickets: readonly AdmissionTicket[]): Promise<readonly string[]> {
  const closed = [];
  for (const { workflowId, executionId } of tickets) {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    if (status.name !== 'RUNNING') closed.push(executionId);
  }
  return closed;
}

function systemActivities(state: State): SystemActivities {
  return {
    openTracking: () => Promise.resolve({ experimentId: '1', parentRunId: 'parent' }),
    closeRun: ({ status }) => {
      state.closed.push(`${status.runId}:${status.state}`);
      return Promise.resolve();
    },
    pinDataset: async (asked) => await state.pin(asked.uri),
    notify: ({ id, subject, text }) => {
      state.notified.push(id);
      state.notifications.push(`${subject} | ${text}`);
      return Promise.resolve();
    },
    recordNotification: () => Promise.resolve(),
    deliverNotification: async (delivery) => {
      await state.deliver(delivery);
      state.deliveries.push(`${delivery.channel.name} <- ${delivery.notification.subject}`);
    },
    sweep: async (known) => await state.sweep(known),
    planPartitions: async (input) => await state.backfill.planPartitions(input),
    awaitRuns: async (input) => await state.backfill.awaitRuns(input),
    submitToLane: async (request: LaneRequest) => {
      await state.submitting();
      await state.client.workflow.signalWithStart(LANE_WORKFLOW, {
        workflowId: laneWorkflowId(request.modelName),
        taskQueue: systemTaskQueue(PROJECT),
        args: [],
        signal: LANE_SUBMIT,
        signalArgs: [request],
      });
    },
    withdrawFromLane: async ({ modelName, requestId }) => {
      await state.client.workflow.signalWithStart(LANE_WORKFLOW, {
        workflowId: laneWorkflowId(modelName),
        taskQueue: systemTaskQueue(PROJECT),
        args: [],
        signal: LANE_WITHDRAW,
        signalArgs: [requestId],
      });
    },
    submitToAdmission: async (request) => {
      await state.client.workflow.signalWithStart(ADMISSION_WORKFLOW, {
        workflowId: admissionWorkflowId(request.project, request.pipeline),
        taskQueue: systemTaskQueue(PROJECT),
        args: [],
        signal: ADMISSION_ENTER,
        signalArgs: [request],
      });
    },
    announceApproval: (announcement) => {
      state.announcements.push(announcement);
      return Promise.resolve();
    },
    findClosedRuns: async (tickets) => await findClosed(state.client, tickets),
    runLaneOperation: async (work) => {
      state.laneOperations.push(work.operation.kind);
      return await Promise.resolve(state.lane(work));
    },
    readChampion: async ({ modelName, alias }) => await Promise.resolve(state.champion(modelName, alias)),
  };
}
