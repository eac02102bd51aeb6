import assert from 'node:assert/strict';
import { test } from 'node:test';
import pc from 'picocolors';
import { createLiveTree } from '../../src/cli/live-tree.js';
import { renderRunTree, visible } from '../../src/cli/run-text.js';
import { createTerminal } from '../../src/cli/terminal.js';
import { call, report, STARTED_MS } from './fake-cli.js';

const options = { nowMs: STARTED_MS + 9_000, columns: 100, colors: pc.createColors(false) };

test('the tree shows state, duration, pool, attempt, metric values, cache hits, failures and gates', () => {
  const status = report({
    state: 'waiting-for-approval',
    calls: [
      call({ name: 'ingest', state: 'cached' }),
      call({ name: 'evaluate', state: 'succeeded', detail: 'f1=0.94', cost: 1.255 }),
      call({ name: 'train', state: 'running', attempt: 2 }),
      call({
        name: 'score',
        state: 'failed',
        failure: { code: 'OutOfMemory', message: 'It used 9Gi of 8Gi.', logTail: ['MemoryError\u001b[2J'] },
      }),
    ],
    approvals: [
      {
        gate: 'promote',
        digest: 'abcdef0123456789',
        openedAtMs: STARTED_MS,
        quorum: 1,
        allowUnverified: false,
        decided: [],
      },
    ],
  });
  assert.deepEqual(renderRunTree(status, options), [
    'churn-training churn-1  waiting-for-approval  5.0s',
    '  ⚡ ingest        2.0s  cpu     cached',
    '  ✔ evaluate      2.0s  cpu     f1=0.94  cost 1.25',
    '  ▶ train         9.0s  cpu     attempt 2',
    '  ✘ score         2.0s  cpu',
    '      OutOfMemory: It used 9Gi of 8Gi.',
    '      │ MemoryError',
    '  Waiting for a decision on "promote" (digest abcdef012345): anneal approve churn-1 promote',
  ]);
});

test('a long tree counts older calls that have ended and keeps those that run or failed', () => {
  const calls = [
    call({ name: 'bad', state: 'failed' }),
    ...Array.from({ length: 20 }, (_, i) => call({ id: `s${i}`, name: `s${i}`, state: 'succeeded' })),
    call({ name: 'now', state: 'running' }),
  ];
  const lines = renderRunTree(report({ calls }), { ...options, maxCalls: 5 });
  assert.equal(lines[1], '  … 17 earlier');
  assert.match(lines[2] ?? '', /✘ bad/);
  assert.match(lines.at(-1) ?? '', /▶ now/);
});

test('output of a step cannot move the cursor', () => {
  assert.equal(visible('a\u001b[2Jb\u001b]0;title\u0007c\rd'), 'abcd');
});

test('on a terminal the tree is drawn over itself, and its last drawing stays', () => {
  let out = '';
  const stdout = { write: (text: string) => (out += text), isTTY: true, columns: 80, rows: 20 };
  const terminal = createTerminal({ stdout, stderr: stdout, env: { NO_COLOR: '1' } }, { json: false });
  const tree = createLiveTree(terminal, () => STARTED_MS + 9_000);
  tree.update(report({ state: 'running', calls: [call({ name: 'train', state: 'running' })] }));
  tree.say('the worker ended');
  tree.update(report());
  tree.stop();
  assert.equal(out.split('\u001b[2A\u001b[0J').length - 1, 3);
  assert.ok(
    out.endsWith('churn-training churn-1  completed  5.0s\n  ✔ ingest        2.0s  cpu\n'),
    JSON.stringify(out),
  );
});

test('a line that takes two rows is erased whole, and what stays on the screen is not cut', () => {
  let out = '';
  const stdout = { write: (text: string) => (out += text), isTTY: true, columns: 40, rows: 20 };
  const terminal = createTerminal({ stdout, stderr: stdout, env: { NO_COLOR: '1' } }, { json: false });
  const tree = createLiveTree(terminal, () => STARTED_MS + 9_000);
  const calls = [call({ name: 'ingest', state: 'succeeded', detail: 'f1=0.9523 accuracy=0.954 auc=0.9199' })];
  tree.update(report({ state: 'running', runId: 'a-run-with-an-id-of-some-length', calls }));
  assert.match(out, /…\n$/);
  tree.stop();
  // The head takes two rows of 40 columns, the call one.
  assert.ok(out.includes('\u001b[3A\u001b[0J'), JSON.stringify(out));
  assert.match(out, /auc=0\.9199\n$/);
});
