import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addressProblem, channelsOf, NOTIFY_KEYS, whoIsTold } from '../../src/core/notification-routes.js';
import { buildNotice, toHtml, toMrkdwn, toPlainText } from '../../src/core/notification-text.js';
import {
  buildRunNotification,
  deliveryWorkflowId,
  messageId,
  type Notification,
  type RunEvent,
} from '../../src/core/notifications.js';
import { digestOfText } from '../../src/core/digest.js';
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
const build = (event: RunEvent, status = FAILED) =>
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

describe('the message of a run', () => {
  const { failure: _f, ...rest } = FAILED;
  const ended: RunStatus = { ...rest, state: 'completed', calls: [], counts: { succeeded: 3, cached: 2 } };
  for (const [event, status, subject, text] of [
    ['failure', FAILED, 'churn failed', /^OutOfMemory: Step "train-model" ran out of memory/],
    ['failure', { ...ended, failure: { code: 'Unknown', message: 'Boom.' } }, 'churn failed', /^Boom\.$/],
    ['failure', ended, 'churn failed', /^The run failed\.$/],
    [
      'success',
      ended,
      'churn succeeded',
      /^The run ended as completed; 5 calls succeeded, 2 of them from the cache\.$/,
    ],
    [
      'success',
      { ...ended, counts: {} },
      'churn succeeded',
      /^The run ended as completed; 0 calls succeeded\.$/,
    ],
    [
      'success',
      { ...ended, state: 'not-promoted', counts: { succeeded: 1 }, result: { promoted: false } },
      'churn ran and promoted nothing',
      /^The run ended as not-promoted; 1 calls succeeded\.\nResult: {"promoted":false}$/,
    ],
    ['success', { ...ended, result: 'x'.repeat(2_000) }, 'churn succeeded', /Result: "x{999}$/],
    [
      'recovery',
      ended,
      'churn works again',
      /^The run before this one failed; this one did not\. 5 calls succeeded, 2 of them from the cache\.$/,
    ],
    ['stuck', ended, 'churn is stuck', /^Workers fail on the history of the run again and again\.$/],
    [
      'terminated',
      ended,
      'churn was terminated',
      /^The run was terminated: it ended at once, and no code of it ran any more\.$/,
    ],
    [
      'timed-out',
      ended,
      'churn ran into its time limit',
      /^The run took longer than its time limit: it ended at once, and no code of it ran any more\.$/,
    ],
  ] as const)
    test(`says: ${subject}, ${text.source.slice(1, 30)}`, () => {
      const built = build(event, status);
      assert.equal(built.subject, `${subject}: it's late`);
      assert.match(built.text, text);
    });

  test('holds what is known, and nothing else', () => {
    const { endedAtMs: _e, tracking: _t, failure: _g, ...bare } = FAILED;
    assert.deepEqual(build('stuck', { ...bare, calls: [] }), {
      ...{ id: 'stuck-e1', event: 'stuck', to: ['a@b.c'], subject: "churn is stuck: it's late" },
      text: 'Workers fail on the history of the run again and again.',
      ...{ runId: "it's late", executionId: 'exec-1', pipeline: 'churn', startedAtMs: 0 },
    });
    const whole = build('failure');
    assert.deepEqual(whole.tracking, FAILED.tracking);
    assert.deepEqual(whole.failure, FAILED.failure);
    assert.equal(whole.endedAtMs, 65_000);
    const why = buildRunNotification({ event: 'stuck', status: FAILED, to: [], epoch: 'e', why: 'Because.' });
    assert.equal(why.text, 'Because.');
  });

  test('names a step only where something went wrong', () => {
    for (const event of ['success', 'recovery'] as const) assert.equal(build(event).step, undefined);
    for (const event of ['failure', 'stuck', 'terminated', 'timed-out'] as const)
      assert.equal(build(event).step?.name, 'train-model');
  });

  test('names the step whose failure the run ended with, else the last that failed, else the one that runs', () => {
    const call = (name: string, given: Partial<CallStatus>): CallStatus => ({
      ...TRAIN,
      id: name,
      name,
      ...given,
    });
    const said = (message: string) => ({ failure: { code: 'StepFailed', message } as const });
    const { endedAtMs: _e, failure: _f, ...running } = TRAIN;
    const nameOf = (...calls: readonly CallStatus[]) =>
      build('failure', { ...FAILED, ...said('no'), calls }).step?.name;
    assert.equal(nameOf(call('a', said('no')), call('b', said('no')), call('c', said('other'))), 'b');
    assert.equal(nameOf(call('a', said('x')), call('b', said('y'))), 'b');
    const retried = call('r', { ...said('x'), state: 'succeeded' });
    assert.equal(nameOf(call('a', said('x')), retried), 'a');
    assert.equal(nameOf(retried, { ...running, name: 'run', state: 'running' }), 'run');
    assert.equal(nameOf(retried), 'r');
    assert.equal(nameOf(call('gate', { kind: 'approval', ...said('no') })), undefined);
    assert.equal(nameOf({ ...running, name: 'gate', kind: 'approval', state: 'waiting' }), undefined);
    assert.equal(nameOf(), undefined);
  });

  test('has of its step the pool where there is one, and its last twenty lines, each cut', () => {
    const { pool: _p, ...poolless } = TRAIN;
    const { step } = build('failure', { ...FAILED, calls: [poolless] });
    assert.ok(step && !('pool' in step));
    assert.equal(step.logTail[0], 'line 10');
    const long = {
      ...TRAIN,
      failure: { code: 'OutOfMemory', message: 'x', logTail: ['y'.repeat(900)] } as const,
    };
    const cut = build('failure', { ...FAILED, calls: [long] }).step;
    assert.equal(cut?.logTail[0]?.length, 500);
    assert.deepEqual(cut.failure, { code: 'OutOfMemory', message: 'x' });
    const silent = { ...TRAIN, failure: { code: 'OutOfMemory', message: 'x' } as const };
    assert.deepEqual(build('failure', { ...FAILED, calls: [silent] }).step?.logTail, []);
  });

  test('is one for channels that can tell, and one workflow', () => {
    const message = build('failure');
    assert.equal(messageId(message), digestOfText('exec-1/failure-e1').slice(0, 40));
    assert.equal(deliveryWorkflowId('p', message), 'anneal/p/notify/exec-1/failure-e1');
    const long = (length: number): Notification => ({ ...message, id: 'x'.repeat(length) });
    assert.equal(deliveryWorkflowId('p', long(200)), `anneal/p/notify/exec-1/${'x'.repeat(200)}`);
    assert.equal(
      deliveryWorkflowId('p', long(201)),
      `anneal/p/notify/exec-1/${digestOfText('x'.repeat(201))}`,
    );
  });
});

describe('a notice', () => {
  const notice = (event: Notification['event'], given: Partial<Notification> = {}, links = LINKS) =>
    buildNotice({ ...build('failure'), event, ...given }, links);
  const commands = (event: Notification['event'], given: Partial<Notification> = {}) =>
    notice(event, given).commands.map(({ name, command }) => `${name}: ${command}`);
  const RUN = String.raw`'it'\''s late'`;

  test('has the commands that help with what happened', () => {
    assert.deepEqual(commands('success'), [`Look: npx anneal describe ${RUN}`]);
    assert.deepEqual(commands('recovery'), [`Look: npx anneal describe ${RUN}`]);
    assert.deepEqual(commands('stuck'), [
      `Look: npx anneal describe ${RUN}`,
      `Logs: npx anneal logs ${RUN} train-model`,
      `End it: npx anneal terminate ${RUN}`,
    ]);
    const { step: _s, ...stepless } = build('failure');
    assert.deepEqual(
      buildNotice(stepless, LINKS).commands.map(({ command }) => command),
      [`npx anneal describe ${RUN}`, `npx anneal logs ${RUN}`, `npx anneal retry ${RUN}`],
    );
    assert.deepEqual(commands('schedule-skipped', { pipeline: 'a b' }), [
      'Look: npx anneal schedule list',
      "Run now: npx anneal schedule trigger 'a b'",
    ]);
    const { pipeline: _p, ...nameless } = build('failure');
    assert.deepEqual(
      buildNotice({ ...nameless, event: 'schedule-skipped' }, LINKS).commands.map(({ name }) => name),
      ['Look'],
    );
    for (const written of ['message', 'approval'] as const) {
      assert.deepEqual(commands(written), []);
      assert.deepEqual(notice(written).facts, []);
      assert.equal(notice(written).links.length, 2);
    }
  });

  test('has links to servers that are there, and to runs that have any', () => {
    assert.deepEqual(
      notice('failure', {}, { ...LINKS, namespace: 'a/b' }).links.map(({ url }) => url),
      [
        "http://ui:8233/namespaces/a%2Fb/workflows/it's%20late",
        'http://mlflow:5000/#/experiments/7/runs/abc',
      ],
    );
    const { temporalUiUrl: _t, ...noUi } = LINKS;
    assert.deepEqual(
      buildNotice(build('failure'), noUi).links.map(({ name }) => name),
      ['MLflow'],
    );
    const { trackingUiUrl: _u, ...noMlflow } = LINKS;
    assert.deepEqual(
      buildNotice(build('failure'), noMlflow).links.map(({ name }) => name),
      ['Web UI'],
    );
    const { tracking: _r, ...untracked } = build('failure');
    assert.deepEqual(
      buildNotice(untracked, LINKS).links.map(({ name }) => name),
      ['Web UI'],
    );
    assert.deepEqual(notice('schedule-skipped').links, []);
  });

  test('says of the run what is known, and of a skipped time no run', () => {
    const facts = (event: Notification['event'], given: Partial<Notification>) =>
      notice(event, given).facts.map(({ name, value }) => `${name}: ${value}`);
    const step = { name: 's', attempt: 3, logTail: [] };
    assert.deepEqual(facts('failure', { step, startedAtMs: 5_000, endedAtMs: 5_100 }), [
      'Step: s, attempt 3',
      "Run: it's late",
      'Started: 1970-01-01T00:00:05.000Z, ran for 1.0s',
    ]);
    const { endedAtMs: _e, step: _s, ...running } = build('failure');
    assert.deepEqual(
      buildNotice(running, LINKS).facts.map(({ value }) => value),
      ["it's late", '1970-01-01T00:00:00.000Z'],
    );
    const { startedAtMs: _a, endedAtMs: _b, step: _c, ...timeless } = build('failure');
    assert.deepEqual(buildNotice({ ...timeless, event: 'schedule-skipped' }, LINKS).facts, []);
  });

  test('has no line end in its subject, no control characters anywhere, nothing that is hidden, and limits', () => {
    const given = {
      subject: ` a\r\n \t${'b'.repeat(400)}`,
      text: 'one\r\ntwo\rthree\u001b[0m\tsecret\u0085',
      step: { name: 'secret', attempt: 1, logTail: ['x'.repeat(600), 'secret'] },
      runId: 'secret',
    };
    const found = buildNotice({ ...build('failure'), ...given }, LINKS, (text) =>
      text.replaceAll('secret', '[hidden]'),
    );
    assert.equal(found.subject, ` a ${'b'.repeat(297)}`);
    assert.equal(found.text, 'one\ntwo\nthree[0m\t[hidden]');
    assert.deepEqual(found.log, ['x'.repeat(500), '[hidden]']);
    assert.deepEqual(
      found.facts.slice(0, 2).map(({ value }) => value),
      ['[hidden], attempt 1', '[hidden]'],
    );
    assert.equal(found.commands[0]?.command, 'npx anneal describe [hidden]');
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

  const bare = { subject: 's', text: 'one\ntwo', facts: [], links: [], commands: [], log: [] };
  const small = {
    ...bare,
    facts: [{ name: 'Run', value: "a<b&'c'" }],
    links: [{ name: 'Web UI', url: 'http://h/?a=1&b="|' }],
    commands: [{ name: 'Look', command: 'x `y` <z>' }],
    log: ['l<1', 'l2'],
  };

  test('is one text for each way to people', () => {
    assert.equal(toPlainText(bare), 'one\ntwo');
    assert.equal(toHtml(bare), '<p>one<br>\ntwo</p>\n');
    assert.deepEqual(toMrkdwn(bare), ['*s*\none\ntwo']);
    assert.equal(
      toHtml(small),
      `<p>one<br>
two</p>
<table>
<tr><td><b>Run</b></td><td>a&lt;b&amp;&#39;c&#39;</td></tr>
<tr><td><b>Web UI</b></td><td><a href="http://h/?a=1&amp;b=&quot;|">http://h/?a=1&amp;b=&quot;|</a></td></tr>
<tr><td><b>Look</b></td><td><code>x \`y\` &lt;z&gt;</code></td></tr>
</table>
<p>The last lines that it printed:</p>
<pre>l&lt;1
l2</pre>
`,
    );
    assert.deepEqual(toMrkdwn(small), [
      '*s*\none\ntwo',
      `*Run:* a&lt;b&amp;'c'\n*Web UI:* <http://h/?a=1&amp;b="%7C>\n*Look:* \`x 'y' &lt;z&gt;\``,
      '```\nl&lt;1\nl2\n```',
    ]);
    assert.equal(
      toPlainText(small),
      "one\ntwo\n\nRun:     a<b&'c'\nWeb UI:  http://h/?a=1&b=\"|\nLook:    x `y` <z>\n\nThe last lines that it printed:\n\n  l<1\n  l2",
    );
  });

  test('is cut for Slack: texts at their end, lines of a log at their beginning, and never to nothing', () => {
    const blocks = (given: object) => toMrkdwn({ ...bare, ...given });
    assert.equal(blocks({ text: 'x'.repeat(4_000) })[0]?.length, 2_900);
    assert.equal(blocks({ facts: [{ name: 'a', value: 'x'.repeat(4_000) }] })[1]?.length, 2_900);
    const fence = '```\n\n```'.length;
    assert.equal(blocks({ log: ['first', 'x'.repeat(2_900)] })[1], `\`\`\`\n${'x'.repeat(2_900)}\n\`\`\``);
    assert.equal(blocks({ log: ['first', 'x'.repeat(2_894)] })[1]?.length, 2_900 + fence);
    assert.match(blocks({ log: ['first', 'x'.repeat(2_894)] })[1] ?? '', /first/);
    assert.doesNotMatch(blocks({ log: ['first', 'x'.repeat(2_895)] })[1] ?? '', /first/);
    assert.equal(blocks({ log: ['x'.repeat(5_000)] })[1]?.length, 2_900 + fence);
  });

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
    ['a b@c', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
    ['a@b c', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
    ['xslack:ml@b.c', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
    ['slack:', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
    ['somebody', 'is none of an e-mail address, slack:NAME and webhook:NAME'],
  ] as const)
    test(`${address} ${problem ?? 'leads somewhere'}`, () =>
      assert.equal(addressProblem(address, notifiers), problem));

  test('say what there is where there is nothing', () => {
    assert.equal(
      addressProblem('slack:ml', {}),
      'names nothing under notifiers: of anneal.yaml, which has none',
    );
    assert.match(addressProblem('slack:ml\nx', notifiers) ?? '', /is none of/);
  });

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
    const all = Object.fromEntries(NOTIFY_KEYS.map((key) => [key, [key]]));
    for (const [event, key] of [
      ['failure', 'onFailure'],
      ['success', 'onSuccess'],
      ['recovery', 'onRecovery'],
      ['approval', 'onApproval'],
      ['stuck', 'onStuck'],
      ['terminated', 'onTerminated'],
      ['timed-out', 'onTerminated'],
      ['schedule-skipped', 'onSkipped'],
    ] as const)
      assert.deepEqual(whoIsTold(event, all), [key], event);
    for (const event of ['stuck', 'terminated', 'timed-out', 'schedule-skipped'] as const)
      assert.deepEqual(whoIsTold(event, { onFailure: ['ops'] }), ['ops'], event);
    assert.deepEqual(whoIsTold('message', all), []);
    assert.deepEqual(whoIsTold('failure', {}), []);
  });
});
