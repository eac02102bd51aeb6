import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addressProblem, channelsOf, whoIsTold } from '../../src/core/notification-routes.js';
import { buildNotice, toHtml, toMrkdwn, toPlainText } from '../../src/core/notification-text.js';
import { buildRunNotification } from '../../src/core/notifications.js';
import type { CallStatus, RunStatus } from '../../src/core/run.js';

const TRAIN: CallStatus = {
  id: 'c1',
  kind: 'step',
  name: 'train-model',
  state: 'failed',
  attempt: 2,
  pool: 'gpu',
  startedAtMs: 1_000,
  endedAtMs: 4_000,
  failure: {
    code: 'OutOfMemory',
    message: 'Step "train-model" ran out of memory (limit 8Gi). Raise resources.memory.',
    logTail: Array.from({ length: 30 }, (_, line) => `line ${line}`),
  },
};

const FAILED: RunStatus = {
  runId: "it's late",
  executionId: 'exec-1',
  pipeline: 'churn',
  project: 'p',
  build: 'b',
  state: 'failed',
  parameters: { table: 'a b', rows: 3 },
  startedAtMs: 0,
  endedAtMs: 65_000,
  calls: [
    TRAIN,
    { ...TRAIN, id: 'c2', name: 'other', failure: { code: 'StepFailed', message: 'handled', logTail: [] } },
  ],
  counts: {},
  continuations: 0,
  approvals: [],
  tracking: { experimentId: '7', runId: 'abc' },
  failure: { code: 'OutOfMemory', message: TRAIN.failure?.message ?? '' },
};

const LINKS = { temporalUiUrl: 'http://ui:8233', namespace: 'ml', trackingUiUrl: 'http://mlflow:5000' };
const build = (event: 'failure' | 'success' | 'terminated', status = FAILED) =>
  buildRunNotification({ event, status, to: ['a@b.c'], epoch: 'e1' });

describe('the message of a failure', () => {
  test('says which step, which attempt, why, what to do next, and what it printed last', () => {
    const text = toPlainText(buildNotice(build('failure'), LINKS));
    assert.deepEqual(text.split('\n').slice(0, 13), [
      'OutOfMemory: Step "train-model" ran out of memory (limit 8Gi). Raise resources.memory.',
      '',
      'Step:    train-model, attempt 2 on pool gpu',
      "Run:     it's late",
      'Started: 1970-01-01T00:00:00.000Z, ran for 1m 05s',
      "Web UI:  http://ui:8233/namespaces/ml/workflows/it's%20late",
      'MLflow:  http://mlflow:5000/#/experiments/7/runs/abc',
      String.raw`Look:    npx anneal describe 'it'\''s late'`,
      String.raw`Logs:    npx anneal logs 'it'\''s late' train-model`,
      String.raw`Retry:   npx anneal retry 'it'\''s late'`,
      '',
      'The last lines that it printed:',
      '',
    ]);
    assert.deepEqual(
      text.split('\n').slice(13),
      Array.from({ length: 20 }, (_, line) => `  line ${line + 10}`),
    );
  });

  test('has an id of the execution, so that a run that is reset and fails again is told of again', () => {
    assert.equal(build('failure').id, 'failure-e1');
  });

  test('names the step that ran where the run was ended from outside', () => {
    const { endedAtMs: _e, failure: _f, ...running } = TRAIN;
    const { failure: _g, ...rest } = FAILED;
    const { step, text } = build('terminated', { ...rest, calls: [{ ...running, state: 'running' }] });
    assert.equal(step?.name, 'train-model');
    assert.match(text, /^The run was terminated/);
  });
});

describe('markup', () => {
  const hostile = buildNotice(
    {
      ...build('failure'),
      subject: 'a\nb <script>',
      text: '<img src=x onerror=alert(1)> & "x"\u001b[31m',
      step: { name: 's', attempt: 1, logTail: ['</pre><script>', '```*bold*'] },
    },
    { ...LINKS, temporalUiUrl: 'http://ui"><script>' },
  );

  test('of others is text in HTML', () => {
    const html = toHtml(hostile);
    assert.doesNotMatch(html, /<script|<img|"></);
    assert.ok(!html.includes('\u001b'), 'no control characters');
    assert.match(html, /&lt;img src=x onerror=alert\(1\)&gt; &amp; &quot;x&quot;/);
  });

  test('of others is text in mrkdwn, and no block is longer than Slack takes', () => {
    const [head = '', , log = ''] = toMrkdwn(hostile);
    assert.match(head, /^\*a b &lt;script&gt;\*\n&lt;img/);
    assert.equal(log, "```\n&lt;/pre&gt;&lt;script&gt;\n'''*bold*\n```");
    const long = {
      ...hostile,
      text: '<'.repeat(9_000),
      log: Array.from({ length: 20 }, () => '&'.repeat(500)),
    };
    for (const block of toMrkdwn(long)) assert.ok(block.length <= 3_000, String(block.length));
  });
});

describe('addresses', () => {
  const notifiers = { ml: { type: 'slack' }, pager: { type: 'webhook' } } as const;
  for (const [address, problem] of [
    ['ml-alerts@company.com', undefined],
    ['slack:ml', undefined],
    ['slack:#ml', undefined],
    ['webhook:pager', undefined],
    ['webhook:ml', 'must be slack:ml, as anneal.yaml says'],
    ['slack:m1', 'names nothing under notifiers: of anneal.yaml, which has slack:ml, webhook:pager'],
    ['slack:constructor', 'names nothing under notifiers: of anneal.yaml, which has slack:ml, webhook:pager'],
    ['somebody', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
  ] as const)
    test(`${address} ${problem ?? 'leads somewhere'}`, () =>
      assert.equal(addressProblem(address, notifiers), problem));

  test('of people make one message', () => {
    assert.deepEqual(channelsOf(['a@b.c', 'slack:#ml', 'd@e.f', 'slack:ml', 'a@b.c']), [
      { name: 'email', to: ['a@b.c', 'd@e.f'] },
      { name: 'slack:ml', to: ['slack:#ml', 'slack:ml'] },
    ]);
  });

  test('of a pipeline stand in place of the project’s, event by event', () => {
    const project = { onFailure: ['ops@b.c'], onStuck: ['admin@b.c'] };
    assert.deepEqual(whoIsTold('failure', {}, project), ['ops@b.c']);
    assert.deepEqual(whoIsTold('failure', { onFailure: [] }, project), []);
    assert.deepEqual(whoIsTold('terminated', { onFailure: ['me@b.c'] }, project), ['me@b.c']);
    assert.deepEqual(whoIsTold('stuck', { onFailure: ['me@b.c'] }, project), ['admin@b.c']);
    assert.deepEqual(whoIsTold('success', { onFailure: ['me@b.c'] }, project), []);
  });
});
