import type { AnnealClient, RunReport } from '../../src/client/index.js';
import type { LocalStack, Project } from '../../src/cli/context.js';
import { runCli } from '../../src/cli/run-cli.js';
import type { CallStatus } from '../../src/core/run.js';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import { readRetention } from '../../src/core/retention.js';

export const STARTED_MS = Date.UTC(2026, 10, 23, 11, 0, 0);

export const churn: PipelineDefinition = {
  name: 'churn-training',
  params: {
    table: { type: 'string', oneOf: ['mlc_churn', 'wa_churn'], default: 'mlc_churn' },
    threshold: { type: 'number', min: 0, max: 1, default: 0.85 },
    trees: { type: 'number', integer: true, default: 100 },
  },
  tags: [],
  notify: {},
};

export function call(given: Partial<CallStatus> & Pick<CallStatus, 'name' | 'state'>): CallStatus {
  return {
    id: given.name,
    kind: 'step',
    attempt: 1,
    pool: 'cpu',
    startedAtMs: STARTED_MS,
    ...(given.state === 'running' ? {} : { endedAtMs: STARTED_MS + 2_000 }),
    ...given,
  };
}

export function report(given: Partial<RunReport> = {}): RunReport {
  return {
    runId: 'churn-1',
    executionId: 'exec-1',
    pipeline: 'churn-training',
    project: 'shop',
    build: 'b'.repeat(64),
    state: 'completed',
    parameters: { threshold: 0.85 },
    startedAtMs: STARTED_MS,
    endedAtMs: STARTED_MS + 5_000,
    calls: [call({ name: 'ingest', state: 'succeeded' })],
    counts: { succeeded: 1 },
    continuations: 0,
    approvals: [],
    tracking: { experimentId: '7', runId: 'abc' },
    ...given,
  };
}

/** A client whose methods all refuse, but for those given. */
export function fakeClient(given: Partial<AnnealClient>): AnnealClient {
  const refuse = () => {
    throw new Error('this test did not expect a call of the client');
  };
  const schedules = {
    apply: refuse,
    list: refuse,
    pause: refuse,
    resume: refuse,
    trigger: refuse,
    remove: refuse,
    history: refuse,
    triggers: refuse,
  };
  const models = { promote: refuse, rollback: refuse, demote: refuse, repair: refuse };
  return {
    startRun: refuse,
    status: refuse,
    list: refuse,
    costs: refuse,
    overview: refuse,
    watch: refuse,
    wait: refuse,
    cancel: refuse,
    terminate: refuse,
    decide: refuse,
    approvals: refuse,
    audit: refuse,
    retry: refuse,
    pause: refuse,
    resume: refuse,
    setStep: refuse,
    setBudget: refuse,
    command: refuse,
    logs: refuse,
    outputs: refuse,
    lineage: refuse,
    repairLineage: refuse,
    schedules,
    backfills: {
      add: refuse,
      plan: refuse,
      progress: refuse,
      pause: refuse,
      resume: refuse,
      cancel: refuse,
      retryFailed: refuse,
      watch: refuse,
    },
    cache: { list: refuse, clear: refuse, why: refuse },
    models,
    versions: { list: refuse, countOthers: refuse, migrate: refuse },
    ...given,
  };
}

export interface FakeSetting {
  readonly client?: Partial<AnnealClient>;
  readonly stack?: Partial<LocalStack>;
  readonly stateDir?: string;
  /** What the project defines. Default: {@link churn}. */
  readonly pipelines?: readonly PipelineDefinition[];
  /** What the build that new runs use defines. Default: the same. */
  readonly deployed?: readonly PipelineDefinition[];
  readonly tty?: boolean;
  readonly env?: { readonly [name: string]: string };
  readonly cwd?: string;
  /** Aborted: the person pressed Ctrl-C. */
  readonly interrupt?: AbortSignal;
  readonly calledAs?: 'anneal' | 'npx anneal';
  /** What the person at the terminal answers. */
  readonly answers?: (question: string) => Promise<boolean>;
  readonly openProject?: () => Promise<Project>;
}

/** Runs a command line against fakes and answers with what came out. */
export async function cli(
  argv: readonly string[],
  setting: FakeSetting = {},
): Promise<{ code: number; out: string; err: string; document: () => unknown }> {
  const written = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    write: (text: string) => {
      written[name] += text;
    },
    isTTY: setting.tty ?? false,
    columns: 100,
    rows: 30,
  });
  const { signal } = new AbortController();
  const code = await runCli(argv, {
    stdout: stream('out'),
    stderr: stream('err'),
    env: setting.env ?? {},
    cwd: setting.cwd ?? '/nowhere',
    nowMs: () => STARTED_MS + 9_000,
    openProject: setting.openProject ?? (async () => await Promise.resolve(fakeProject(setting))),
    interruptible: async (work) => await work(setting.interrupt ?? signal),
    ...(setting.answers === undefined ? {} : { ask: setting.answers }),
    ...(setting.calledAs === undefined ? {} : { calledAs: setting.calledAs }),
  });
  return { code, ...written, document: () => JSON.parse(written.out) as unknown };
}

function fakeProject({
  client = {},
  stack = {},
  stateDir = '/p/state',
  pipelines = [churn],
  deployed = pipelines,
}: FakeSetting): Project {
  const manifest = {
    version: 1,
    digest: 'b'.repeat(64),
    project: 'shop',
    pipelines,
    steps: [],
    tasks: [],
    createdAt: '',
  } as const;
  const build = { digest: manifest.digest, dir: '/builds/b', manifest };
  const refuse = () => {
    throw new Error('this test did not expect this call of the project');
  };
  return {
    config: {
      root: '/p',
      file: '/p/anneal.yaml',
      project: 'shop',
      pipelines: '/p/pipelines.ts',
      pools: {},
      approvers: [],
      groups: {},
      store: { root: '/p/store' },
      data: { allowHosts: [], s3: {} },
      mlflow: {},
      temporal: { namespace: 'default' },
      retention: readRetention(),
      builds: 'directory',
      smtp: {},
      notifiers: {},
      notify: {},
    },
    paths: {
      root: '/p',
      stateDir,
      store: { root: '/p/store' },
      buildsDir: '/builds',
      attemptsDir: '/p/attempts',
    },
    client: async () => await Promise.resolve(fakeClient(client)),
    temporal: refuse,
    addresses: async () => await Promise.resolve({ namespace: 'default' }),
    links: async () =>
      await Promise.resolve({ namespace: 'default', temporalUiUrl: 'http://ui', trackingUiUrl: 'http://ml' }),
    currentBuild: async () =>
      await Promise.resolve({ ...build, manifest: { ...manifest, pipelines: deployed } }),
    build: async () => await Promise.resolve({ ...build, unchanged: true, warnings: [], inputs: [] }),
    watch: refuse,
    stack: {
      running: async () => await Promise.resolve({ servers: false, worker: false }),
      startServers: refuse,
      stopServers: refuse,
      deadServers: async () => await Promise.resolve([]),
      inTurn: async (work) => await work(),
      makeCurrent: refuse,
      readCurrent: async () => await Promise.resolve(undefined),
      isRamping: async () => await Promise.resolve(false),
      worker: async () => await Promise.resolve(undefined),
      ensureWorker: refuse,
      workerReady: refuse,
      stopWorker: refuse,
      endAttempts: refuse,
      workerProblem: async () => await Promise.resolve(undefined),
      endAttemptsOf: refuse,
      workerLogEnd: refuse,
      workerLog: refuse,
      ...stack,
    },
    reconnect: async () => await Promise.resolve(),
    close: async () => await Promise.resolve(),
  };
}
