import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RunSnapshot } from '../../src/core/activities.js';
import type { CallStatus, RunStatus } from '../../src/core/run.js';
import { renderDetails } from '../../src/workflows/details.js';

const SNAPSHOT: RunSnapshot = {
  project: 'churn',
  build: 'b1',
  pools: [],
  codeDigests: {},
  pythonDigests: {},
  tracked: true,
  trackingUiUrl: 'http://mlflow:5000',
};

function render(
  calls: readonly Partial<CallStatus>[],
  changes: Partial<RunStatus> = {},
  tracked = true,
): string {
  const status: RunStatus = {
    runId: 'nightly/1',
    executionId: 'exec-1',
    pipeline: 'churn-training',
    project: 'churn',
    build: 'b1',
    state: 'running',
    parameters: {},
    startedAtMs: 0,
    calls: calls.map((call, i) => ({
      id: String(i),
      kind: 'step',
      name: 'train',
      state: 'succeeded',
      attempt: 1,
      startedAtMs: 0,
      endedAtMs: 1_000,
      ...call,
    })),
    counts: {},
    continuations: 0,
    approvals: [],
    tracking: { experimentId: '7', runId: 'parent' },
    ...changes,
  };
  return renderDetails(status, { snapshot: tracked ? SNAPSHOT : undefined, rows: new WeakMap() });
}

describe('the details of a run in the Web UI', () => {
  test('link each step to its MLflow run, with its name safe inside a link', () => {
    const text = render([{ name: 'train [a|b]', trackingRunId: 'r1' }, { name: 'plain' }]);
    assert.match(text, /\[train \\\[a b\\\]\]\(http:\/\/mlflow:5000\/#\/experiments\/7\/runs\/r1\)/);
    assert.match(text, /\| plain \|/);
    assert.match(text, /\[MLflow run\]\(http:\/\/mlflow:5000\/#\/experiments\/7\/runs\/parent\)/);
  });

  test('say what run a cached step comes from, and link to the MLflow run of the step that made it', () => {
    const cachedFrom = { runId: 'nightly/0', tracking: { experimentId: '6', runId: 'origin' } };
    const text = render([{ state: 'cached', detail: 'f1=0.9', cachedFrom }]);
    const link = '[nightly/0](http://mlflow:5000/#/experiments/6/runs/origin)';
    assert.ok(text.includes(`| cached from ${link} · f1=0.9 |`), text);
  });

  test('have no links where MLflow has no address', () => {
    const cachedFrom = { runId: 'nightly/0', tracking: { experimentId: '6', runId: 'origin' } };
    const text = render([{ state: 'cached', cachedFrom }, { trackingRunId: 'r1' }], {}, false);
    assert.ok(text.includes('| cached from nightly/0 |'));
    assert.ok(!text.includes('http'));
  });

  test('say until when an approval waits', () => {
    const approval = {
      ...{ gate: 'go-live', digest: 'd1', openedAtMs: 0, quorum: 1, allowUnverified: true, decided: [] },
      expiresAtMs: Date.UTC(2026, 10, 24, 8, 30),
    };
    assert.match(
      render([], { approvals: [approval] }),
      /Waiting for approval \*\*go-live\*\*, until 2026-11-24 08:30 UTC, digest `d1`\./,
    );
  });

  test('stay below 20,000 bytes of UTF-8 and keep the newest rows', () => {
    const wide = '\u6f22'.repeat(300);
    const calls = Array.from({ length: 200 }, (_, i) => ({
      name: `${i} ${wide}`,
      detail: wide,
      trackingRunId: 'f'.repeat(32),
    }));
    const approvals = Array.from({ length: 30 }, (_, i) => ({
      gate: `gate-${i}`,
      digest: 'd'.repeat(64),
      openedAtMs: 0,
      quorum: 1,
      allowUnverified: true,
      decided: [],
    }));
    const text = render(calls, { approvals, failure: { code: 'StepFailed', message: wide } });
    assert.ok(Buffer.byteLength(text) < 20_000, String(Buffer.byteLength(text)));
    assert.ok(text.includes('| [199 '));
    assert.match(text, /the newest \d+ calls are shown/);
    assert.ok(text.includes('20 more approvals wait'));
  });
});
