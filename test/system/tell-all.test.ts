import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';

import { listAttempts } from '../../src/adapters/process-executor/attempt-directory.js';
import { pipelinesTaskQueue } from '../../src/core/run.js';
import { SWEEP_NOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import { DESK } from '../cli/desk-project.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { startHttpReceiver, type HttpReceiver, type Received } from '../notify/http-receiver.js';
import { until } from './support/until.js';

const KEY = 'a key of some bytes';
/** Between two looks that the sweeper is asked for. */
const LOOK_MS = 5_000;

describe('a program and a Slack channel that are told of everything', () => {
  let pager: HttpReceiver;
  let slack: HttpReceiver;
  let world: DeskWorld;
  let control: string;
  before(async () => {
    [pager, slack] = await Promise.all([startHttpReceiver(), startHttpReceiver()]);
    world = await startDeskWorld({
      ANNEAL_SECRET_PAGER_KEY: KEY,
      ANNEAL_SECRET_SLACK_ML_URL: `${slack.url}/services/T/B/x`,
    });
    control = path.join(world.root, 'control');
    await mkdir(control);
    await appendFile(path.join(world.root, 'anneal.yaml'), configOf(pager.url));
    await appendFile(path.join(world.root, 'pipelines/index.ts'), pipelinesOf(control));
    await world.startWorker();
    // New runs use these pipelines from then on.
    const first = world.spawn('run', 'quick', '--wait');
    assert.equal((await first.exited()).code, 0, first.output());
    // Its first run is open until the end, so that the times after it are skipped.
    const applied = world.spawn('schedule', 'apply');
    assert.equal((await applied.exited()).code, 0, applied.output());
  });
  after(async () => {
    await world.close();
    await Promise.all([pager.close(), slack.close()]);
  });

  const run = async (pipeline: string, id: string, ...more: string[]) => {
    const { code, err } = await world.cli(['run', pipeline, '--id', id, ...more]);
    assert.equal(code, 0, err);
  };
  const stateOf = async (id: string) => (await world.cli(['describe', id, '--json'])).document()['state'];
  const ends = async (id: string, state: string) =>
    await until(`${id} is ${state}`, async () => (await stateOf(id)) === state);
  const sweepNow = async () =>
    await world.temporal.workflow.getHandle(sweeperWorkflowId(DESK.project)).signal(SWEEP_NOW);
  /** What the program was told of a run, and nothing that was told twice. */
  const paged = (of: (message: Paged) => boolean) => {
    const found = pager.received.map(readPaged).filter(of);
    assert.equal(new Set(found.map(({ id }) => id)).size, found.length);
    return found;
  };
  const isPaged = async (type: string, runId: string) =>
    await until(
      `${type} of ${runId} came`,
      () => paged((message) => message.type === type && message.data.runId === runId)[0],
    );

  test('hear of a failure with its last twenty lines; the channel that is away hears it later, and nobody waits for it', async () => {
    slack.answers.push({ status: 503 }, { status: 503 });
    await run('flaky', 'night/1', '--param', 'fine=0');
    await ends('night/1', 'failed');
    const { data } = await isPaged('run.failure', 'night/1');
    assert.equal(data.failure?.code, 'StepFailed');
    assert.deepEqual([data.step?.name, data.step?.attempt, data.step?.pool], ['print', 1, 'cpu']);
    assert.deepEqual(
      data.step?.log,
      Array.from({ length: 20 }, (_, i) => `line ${i + 11}`),
    );
    assert.equal(data.commands['Retry'], 'npx anneal retry night/1');
    assert.match(data.links['Web UI'] ?? '', /\/workflows\/night%2F1$/);
    const [told] = await until('Slack has it', () => slack.received.length === 3 && slack.received.slice(2));
    assert.match(told?.body ?? '', /StepFailed: Step \\"print\\" ended with exit code 3/);
    assert.match(told?.body ?? '', /line 30/);
  });

  test('hear once that the pipeline works again', async () => {
    await run('flaky', 'night/2', '--param', 'fine=1');
    await isPaged('run.recovery', 'night/2');
    await run('flaky', 'night/3', '--param', 'fine=1');
    await isPaged('run.success', 'night/3');
    assert.deepEqual(
      paged(({ type }) => type === 'run.recovery').map(({ data }) => data.runId),
      ['night/2'],
    );
  });

  test('hear that people must decide, with the command that decides', async () => {
    await run('asks', 'asking');
    const { data } = await isPaged('run.approval', 'asking');
    const decide = /^ +npx anneal approve asking go-live --digest [0-9a-f]{64}$/m;
    assert.match(data.text, decide);
    assert.equal((await world.cli(['cancel', 'asking'])).code, 0);
  });

  test('hear of a run that was longer than a client gave it, of which nothing is left; it can be taken up', async () => {
    await world.temporal.workflow.start('slow', {
      taskQueue: pipelinesTaskQueue(DESK.project),
      workflowId: 'late',
      args: [{}],
      workflowExecutionTimeout: '8s',
    });
    await ends('late', 'timed-out');
    await sweepNow();
    const { data } = await isPaged('run.timed-out', 'late');
    assert.match(data.text, /timed out|longer/);
    assert.equal(data.commands['Retry'], 'npx anneal retry late');
    await until('its process is gone', async () => {
      const names = await listAttempts(world.paths.attemptsDir);
      return !names.some((name) => name.startsWith('slow'));
    });
    await writeFile(path.join(control, 'slow'), '');
    const { code, document } = await world.cli(['retry', 'late', '--json']);
    assert.deepEqual([code, document()['adopted']], [0, 1]);
    await ends('late.r2', 'completed');
  });

  test('hear of times of a schedule that passed without a run, and of each only once', async () => {
    const first = await until(
      'they were told',
      async () => {
        await sweepNow();
        const [told] = paged(({ type }) => type === 'run.schedule-skipped');
        return told ?? (await delay(LOOK_MS));
      },
      180_000,
    );
    assert.equal(first.data.pipeline, 'often');
    assert.match(first.data.text, /often.*(still open|was open)/);
    const times = (await world.cli(['schedule', 'history', 'often', '--json'])).list();
    const reasons = times.map(({ skipped }) => (skipped as { reason: string } | undefined)?.reason);
    assert.ok(reasons.includes('overlap'), JSON.stringify(times));
    await writeFile(path.join(control, 'often'), '');
    assert.equal((await world.cli(['schedule', 'delete', 'often'])).code, 0);
  });
});

interface Paged {
  readonly id: string;
  readonly type: string;
  readonly data: {
    readonly runId: string;
    readonly pipeline?: string;
    readonly text: string;
    readonly failure?: { readonly code: string };
    readonly step?: {
      readonly name: string;
      readonly attempt: number;
      readonly pool: string;
      readonly log: string[];
    };
    readonly links: { readonly [name: string]: string };
    readonly commands: { readonly [name: string]: string };
  };
}

/** A message whose signature is right. */
function readPaged({ headers, body }: Received): Paged {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = headers;
  const signed = createHmac('sha256', KEY)
    .update(`${String(id)}.${String(at)}.${body}`)
    .digest('base64');
  assert.equal(signature, `v1,${signed}`);
  return { ...(JSON.parse(body) as Omit<Paged, 'id'>), id: String(id) };
}

const configOf = (pagerUrl: string) => `notifiers:
  pager: { type: webhook, url: ${pagerUrl}/in, secret: pager }
  ml: { type: slack, secret: slack-ml }
notify:
  onFailure: [webhook:pager, slack:ml]
  onSuccess: [webhook:pager]
  onRecovery: [webhook:pager]
  onApproval: [webhook:pager]
  onTerminated: [webhook:pager]
  onSkipped: [webhook:pager]
`;

const pipelinesOf = (control: string) => `
const print = defineStep({
  name: 'print',
  inputs: { code: integer() },
  outputs: {},
  command: ({ inputs }) => ['sh', '-c', 'for i in $(seq 30); do echo "line $i"; done; exit "$1"', 'sh', inputs.code],
});

const hold = defineStep({
  name: 'hold',
  inputs: { file: string() },
  outputs: {},
  stopGrace: '1s',
  command: ({ inputs }) => ['sh', '-c', 'i=0; until [ -e "$1" ]; do i=$((i+1)); [ $i -lt 3000 ] || exit 70; sleep 0.1; done', 'sh', inputs.file],
});

export const flaky = definePipeline({ name: 'flaky', params: { fine: integer() } }, async ({ fine }) => {
  await print({ code: fine === 1 ? 0 : 3 });
});

export const slow = definePipeline({ name: 'slow' }, async () => {
  await write({ n: 1 });
  await hold({ file: ${JSON.stringify(`${control}/slow`)} }, { name: 'slow' });
});

export const often = definePipeline({ name: 'often', schedule: { every: '3s', catchup: '10s' } }, async () => {
  await hold({ file: ${JSON.stringify(`${control}/often`)} }, { name: 'often' });
});
`;
