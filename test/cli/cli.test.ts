import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { AnnealClient } from '../../src/client/index.js';
import { AnnealError } from '../../src/core/failures.js';
import { call, cli, report, STARTED_MS } from './fake-cli.js';

describe('command line', () => {
  test('help lists the commands with examples and exits 0', async () => {
    const { code, out } = await cli(['--help']);
    assert.equal(code, 0);
    for (const name of ['start', 'up', 'down', 'run', 'logs', 'schedule', 'init', 'doctor'])
      assert.match(out, new RegExp(`^  ${name}\\b`, 'm'));
    assert.match(out, /\$ anneal up/);
  });

  test('help and version are JSON with --json', async () => {
    for (const argv of [
      ['--help', '--json'],
      ['--json', '--help'],
      ['run', '--help', '--json'],
    ]) {
      const { code, document } = await cli(argv);
      assert.equal(code, 0);
      assert.match((document() as { help: string }).help, /^Usage: anneal /);
    }
    for (const argv of [
      ['--version', '--json'],
      ['--json', '--version'],
    ])
      assert.match(((await cli(argv)).document() as { version: string }).version, /^\d+\.\d+\.\d+/);
  });

  test('an unknown command exits 2 with the nearest one', async () => {
    const { code, err } = await cli(['rnu', 'churn-training']);
    assert.equal(code, 2);
    assert.equal(err, "InvalidCommand: Unknown command 'rnu'. Did you mean run? See: anneal --help\n");
  });

  test('a missing argument and an unknown option exit 2', async () => {
    assert.deepEqual(await codeAndError(['run']), [
      2,
      "InvalidCommand: Missing required argument 'pipeline'. See: anneal run --help\n",
    ]);
    assert.deepEqual(await codeAndError(['list', '--limt', '3']), [
      2,
      "InvalidCommand: Unknown option '--limt'. Did you mean --limit? See: anneal list --help\n",
    ]);
  });

  test('with --json an error is one document on stdout', async () => {
    const { code, out, err } = await cli(['list', '--state', 'faild', '--json']);
    assert.equal(code, 2);
    assert.equal(err, '');
    const { error } = JSON.parse(out) as { error: { code: string; message: string } };
    assert.equal(error.code, 'InvalidCommand');
    assert.match(
      error.message,
      /^--state is "faild"; it must be one of queued, .*\. Did you mean "failed"\?$/,
    );
  });

  test('a failure that the user cannot correct in the command exits 1', async () => {
    const status = () => Promise.reject(new AnnealError('ServerUnreachable', 'Temporal does not answer.'));
    const { code, err } = await cli(['describe', 'churn-1'], { client: { status } });
    assert.equal(code, 1);
    assert.equal(err, 'ServerUnreachable: Temporal does not answer.\n');
  });

  test('a fault of ours is one sentence; the trace goes to a file in the project', async () => {
    const stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-state-'));
    try {
      const status = () => Promise.reject(new TypeError('x is undefined'));
      const { code, err } = await cli(['describe', 'churn-1'], { client: { status }, stateDir });
      assert.equal(code, 1);
      assert.match(
        err,
        /^Unknown: This should not have happened: x is undefined\. It is a fault in Anneal; the trace is in .*trace\.txt\.\n$/,
      );
      assert.ok(err.includes(`the trace is in ${stateDir}/`), err);
      assert.doesNotMatch(err, /\n\s+at /);
    } finally {
      await rm(stateDir, { recursive: true });
    }
  });

  test('colours are off without a terminal and with NO_COLOR', async () => {
    const status = async () => await Promise.resolve(report());
    const { out: plain } = await cli(['describe', 'churn-1'], { client: { status } });
    const { out: painted } = await cli(['describe', 'churn-1'], { client: { status }, tty: true });
    const { out: refused } = await cli(['describe', 'churn-1'], {
      client: { status },
      tty: true,
      env: { NO_COLOR: '1' },
    });
    assert.ok(!plain.includes('\u001b'));
    assert.ok(painted.includes('\u001b['));
    assert.ok(!refused.includes('\u001b'));
  });
});

describe('anneal run', () => {
  const startRun = async () => await Promise.resolve({ runId: 'churn-1', executionId: 'exec-1' });

  test('passes parameters by their types, from file and options', async () => {
    const seen: unknown[] = [];
    const { code } = await cli(
      [
        'run',
        'churn-training',
        '--param',
        'threshold=0.9',
        '--param',
        'table=wa_churn',
        '--id',
        'mine',
        '--no-cache',
      ],
      {
        client: {
          startRun: async (pipeline, options) => {
            seen.push(pipeline, options);
            return await startRun();
          },
        },
      },
    );
    assert.equal(code, 0);
    const [pipeline, options] = seen as [string, { readonly startedBy: string }];
    const { startedBy, ...rest } = options;
    assert.equal(pipeline, 'churn-training');
    assert.deepEqual(rest, {
      parameters: { threshold: 0.9, table: 'wa_churn' },
      runId: 'mine',
      cache: false,
    });
    assert.notEqual(startedBy, '');
  });

  test('refuses what the pipeline would refuse, by name, before anything runs', async () => {
    assert.deepEqual(await codeAndError(['run', 'churn-trainin']), [
      2,
      'UnknownPipeline: The build has no pipeline "churn-trainin"; it has churn-training. Did you mean "churn-training"?\n',
    ]);
    assert.match(
      (await codeAndError(['run', 'churn-training', '--param', 'treshold=1']))[1],
      /has no parameter "treshold"; it takes "table", "threshold", "trees"\. Did you mean "threshold"\?/,
    );
    assert.match(
      (await codeAndError(['run', 'churn-training', '--param', 'threshold=2']))[1],
      /is 2; it must be a number from 0 to 1/,
    );
    assert.match(
      (await codeAndError(['run', 'churn-training', '--param', 'table=x']))[1],
      /must be one of "mlc_churn", "wa_churn"/,
    );
    assert.match(
      (await codeAndError(['run', 'churn-training', '--param', 'trees']))[1],
      /write --param name=value/,
    );
  });

  test('says how to go on, as text and as JSON', async () => {
    const { out } = await cli(['run', 'churn-training'], { client: { startRun } });
    assert.match(out, /^Started churn-1\n {2}follow it {2}anneal logs churn-1 --follow\n/);
    const { document } = await cli(['run', 'churn-training', '--json'], { client: { startRun } });
    assert.deepEqual(document(), { runId: 'churn-1', executionId: 'exec-1' });
  });

  test('--wait prints one line per change and exits with how the run ended', async () => {
    const running = report({ state: 'running', calls: [call({ name: 'ingest', state: 'running' })] });
    const failed = report({
      state: 'failed',
      calls: [
        call({
          name: 'ingest',
          state: 'failed',
          failure: { code: 'StepFailed', message: 'Step "ingest" exited with 3.', logTail: ['boom'] },
        }),
      ],
      failure: { code: 'StepFailed', message: 'Step "ingest" exited with 3.' },
    });
    const { code, out } = await cli(['run', 'churn-training', '--wait'], {
      client: { startRun, watch: () => answers(running, running, failed) },
    });
    assert.equal(code, 1);
    assert.equal(
      out,
      [
        'Started churn-1. Ctrl-C stops following; the run goes on.',
        'churn-1: running',
        '  ▶ ingest      9.0s  cpu  running',
        'churn-1: failed',
        '  ✘ ingest      2.0s  cpu  failed',
        '      StepFailed: Step "ingest" exited with 3.',
        '      │ boom',
        'churn-1: failed after 5.0s',
        '  StepFailed: Step "ingest" exited with 3.',
        '  Seconds per step: ingest 2',
        '  Temporal http://ui/namespaces/default/workflows/churn-1',
        '  MLflow   http://ml/#/experiments/7/runs/abc',
        '',
      ].join('\n'),
    );
  });

  test('--wait --json is one document on stdout with status, links and seconds per step', async () => {
    const { code, document } = await cli(['run', 'churn-training', '--wait', '--json'], {
      client: { startRun, watch: () => answers(report({ state: 'not-promoted' })) },
    });
    assert.equal(code, 0);
    const found = document() as { state: string; links: object; steps: object[] };
    assert.equal(found.state, 'not-promoted');
    assert.deepEqual(found.links, {
      temporal: 'http://ui/namespaces/default/workflows/churn-1',
      mlflow: 'http://ml/#/experiments/7/runs/abc',
    });
    assert.deepEqual(found.steps, [{ name: 'ingest', state: 'succeeded', seconds: 2 }]);
  });

  test('cancel of a run that is not there says nothing but that', async () => {
    const missing = new AnnealError('RunNotFound', 'There is no run "nope".');
    const cancel = async () => await Promise.reject(missing);
    const { code, out, err } = await cli(['cancel', 'nope'], { client: { cancel } });
    assert.deepEqual([code, out, err], [2, '', 'RunNotFound: There is no run "nope".\n']);
  });

  test('cancel that is interrupted says whether the server has taken it', async () => {
    const cancelled = async (asked: boolean, failure?: Error) => {
      const controller = new AbortController();
      const cancel = async (_runId: string, options: { readonly onAsked?: () => void } = {}) => {
        if (asked) options.onAsked?.();
        controller.abort();
        return await Promise.reject(failure ?? (controller.signal.reason as Error));
      };
      return await cli(['cancel', 'churn-1'], { client: { cancel }, interrupt: controller.signal });
    };
    const { code, err } = await cancelled(true);
    assert.equal(code, 130);
    assert.match(err, /^churn-1 is being cancelled; see: anneal describe churn-1/);
    assert.match((await cancelled(false)).err, /^churn-1 was not asked to stop\.\n$/);
    const away = await cancelled(false, new AnnealError('ServerUnreachable', 'Temporal does not answer.'));
    assert.deepEqual([away.code, away.err], [1, 'ServerUnreachable: Temporal does not answer.\n']);
  });

  test('Ctrl-C in a command that waits for something else is no fault of Anneal', async () => {
    for (const wrap of [(reason: Error) => reason, (cause: Error) => new Error('aborted', { cause })]) {
      const reason = Object.assign(new Error('interrupted by SIGINT'), { code: 'INTERRUPTED' });
      const status = async () => await Promise.reject(wrap(reason));
      const { code, err } = await cli(['describe', 'churn-1'], { client: { status } });
      assert.deepEqual([code, err], [130, 'Interrupted.\n']);
      const shown = await cli(['describe', 'churn-1', '--json'], { client: { status } });
      assert.deepEqual([shown.code, shown.document()], [130, { interrupted: true, message: 'Interrupted.' }]);
    }
  });

  test('an interrupted command says what goes on without it', async () => {
    const cause = Object.assign(new Error('interrupted by SIGINT'), { code: 'INTERRUPTED' });
    const goesOn = new AnnealError('WorkerUnavailable', 'Stopped waiting. It goes on.', { cause });
    const status = async () => await Promise.reject(goesOn);
    const { code, err } = await cli(['describe', 'churn-1'], { client: { status } });
    assert.deepEqual([code, err], [130, 'Stopped waiting. It goes on.\n']);
  });

  test('Ctrl-C stops waiting for a backfill, which goes on', async () => {
    const controller = new AbortController();
    const now = {
      ...{ pipeline: 'churn-training', state: 'running' as const, total: 3, made: 1, skipped: 0, waiting: 1 },
      ...{ cancelled: 0, running: [], failed: [], concurrency: 1, startedAtMs: 0 },
    };
    const watch = async function* () {
      yield await Promise.resolve(now);
      controller.abort();
      controller.signal.throwIfAborted();
    };
    const progress = async () => await Promise.resolve(now);
    const backfills = { watch, progress } as Partial<AnnealClient['backfills']> as AnnealClient['backfills'];
    const { code, out } = await cli(['backfill', 'churn-training', '--wait'], {
      client: { backfills },
      interrupt: controller.signal,
    });
    assert.equal(code, 130);
    assert.match(out, /running: 1 made, 1 wait of 3/);
  });

  test('Ctrl-C stops following and says how to follow or cancel', async () => {
    const controller = new AbortController();
    const watch = async function* () {
      yield await Promise.resolve(report({ state: 'running' }));
      controller.abort();
      controller.signal.throwIfAborted();
    };
    const { code, out } = await cli(['run', 'churn-training', '--wait'], {
      client: { startRun, watch },
      interrupt: controller.signal,
    });
    assert.equal(code, 130);
    assert.match(
      out,
      /Stopped following; churn-1 goes on\.\n {2}follow it {2}anneal logs churn-1 --follow\n {2}look {7}anneal describe churn-1\n {2}stop it {4}anneal cancel churn-1\n$/,
    );
  });
});

describe('other commands', () => {
  test('list shows runs as a table, and STUCK where the server reports it', async () => {
    const list = async () =>
      await Promise.resolve([
        {
          runId: 'a',
          pipeline: 'churn-training',
          state: 'running' as const,
          stuck: 'The run is stuck: a worker fails on its history.',
          startedAtMs: STARTED_MS,
        },
        {
          runId: 'b',
          pipeline: 'churn-training',
          state: 'completed' as const,
          startedAtMs: STARTED_MS,
          endedAtMs: STARTED_MS + 5_000,
        },
      ]);
    const { out } = await cli(['list'], { client: { list } });
    assert.deepEqual(
      out.split('\n').map((line) => line.split(/\s{2,}/)),
      [
        ['RUN', 'PIPELINE', 'STATE', 'STARTED', 'TOOK'],
        ['a', 'churn-training', 'STUCK', '2026-11-23 11:00:00', '9.0s'],
        ['b', 'churn-training', 'completed', '2026-11-23 11:00:00', '5.0s'],
        ['a: The run is stuck: a worker fails on its history.'],
        [''],
      ],
    );
  });

  test('describe shows steps, result, parameters, links and a notice', async () => {
    const found = report({
      state: 'running',
      notice: 'No worker answers.',
      calls: [
        call({
          name: 'register churn-predictor',
          kind: 'model',
          state: 'succeeded',
          detail: 'churn-predictor version 4',
        }),
      ],
    });
    const { out } = await cli(['describe', 'churn-1'], {
      client: { status: async () => await Promise.resolve(found) },
    });
    assert.match(out, /Parameters: threshold=0\.85/);
    assert.match(out, /Model {4}http:\/\/ml\/#\/models\/churn-predictor\/versions\/4/);
    assert.match(out, /No worker answers\./);
  });

  test('logs puts a heading where another attempt begins', async () => {
    const logs = async function* () {
      yield await Promise.resolve({ step: 'train', callId: 'c', attempt: 1, text: 'one\nhal' });
      yield await Promise.resolve({ step: 'train', callId: 'c', attempt: 1, text: 'f' });
      yield await Promise.resolve({ step: 'train', callId: 'c', attempt: 2, text: 'two\n' });
    };
    const { out } = await cli(['logs', 'churn-1'], { client: { logs } });
    assert.equal(out, '── train, attempt 1 ──\none\nhalf\n── train, attempt 2 ──\ntwo\n');
  });

  test('approve sends the decision with who and why', async () => {
    const seen: unknown[] = [];
    const decide = async (options: object) => {
      seen.push(options);
      return await Promise.resolve({
        gate: 'promote',
        digest: 'd'.repeat(64),
        decision: 'approve' as const,
        by: 'ann',
      });
    };
    const { out } = await cli(['approve', 'churn-1', 'promote', '--by', 'ann', '--comment', 'good'], {
      client: { decide },
    });
    assert.deepEqual(seen, [
      { runId: 'churn-1', gate: 'promote', decision: 'approve', by: 'ann', comment: 'good' },
    ]);
    assert.equal(out, 'Approved "promote" of churn-1 as ann, not signed (digest dddddddddddd).\n');
  });

  test('down stops worker, attempts and servers in that order and says so', async () => {
    const order: string[] = [];
    const step =
      <T>(name: string, value: T) =>
      async () => {
        order.push(name);
        return await Promise.resolve(value);
      };
    const { out } = await cli(['down'], {
      stack: {
        stopWorker: step('worker', true),
        endAttempts: step('attempts', ['train-a1']),
        stopServers: step('servers', ['temporal', 'mlflow']),
      },
    });
    assert.deepEqual(order, ['worker', 'attempts', 'servers']);
    assert.equal(
      out,
      'Stopped the worker, 1 running attempt, Temporal, MLflow. Open runs go on after the next: anneal up\n',
    );
  });
});

async function codeAndError(argv: readonly string[]): Promise<[number, string]> {
  const { code, err } = await cli(argv);
  return [code, err];
}

async function* answers<T>(...values: readonly T[]): AsyncGenerator<T> {
  for (const value of values) yield await Promise.resolve(value);
}
