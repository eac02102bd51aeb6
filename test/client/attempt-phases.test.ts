import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WorkflowExecutionDescription } from '@temporalio/client';
import { withPhases } from '../../src/client/attempt-phases.js';
import type { CallStatus } from '../../src/core/run.js';

const call = (id: string, state: CallStatus['state'] = 'running'): CallStatus => ({
  id,
  kind: 'step',
  name: 'train',
  state,
  attempt: 1,
  startedAtMs: 0,
});

const beat = (taskQueue: string, details: unknown) => ({
  activityOptions: { taskQueue: { name: taskQueue } },
  heartbeatDetails: { payloads: [{ data: Buffer.from(JSON.stringify(details)) }] },
});

const described = (...pendingActivities: object[]) =>
  ({ raw: { pendingActivities } }) as Pick<WorkflowExecutionDescription, 'raw'>;

describe('a live run', () => {
  const waiting = { callId: 'a', phase: 'queued', sinceMs: 5_000, detail: '0/1 nodes are available' };

  test('says what the attempts of its calls wait for, and since when', () => {
    const { calls } = withPhases(
      { calls: [call('a'), call('b')] },
      described(beat('p/gpu', waiting)),
      65_000,
    );
    assert.equal(calls[0]?.detail, 'queued for 1m 00s: 0/1 nodes are available');
    assert.deepEqual(calls[0]?.phase, { name: 'queued', sinceMs: 5_000, detail: '0/1 nodes are available' });
    assert.deepEqual(calls[1], call('b'));
  });

  test('says of processes what takes long before or after their command', () => {
    const preparing = { callId: 'a', phase: 'preparing', sinceMs: 5_000, detail: 'Python: installing' };
    const activity = described(beat('p/gpu@box', preparing));
    const at = (nowMs: number) => withPhases({ calls: [call('a')] }, activity, nowMs).calls[0]?.detail;
    assert.equal(at(65_000), 'preparing for 1m 00s: Python: installing');
    assert.equal(at(9_999), undefined);
  });

  test('says nothing of processes that run, of calls that have ended, and of what it cannot read', () => {
    for (const [calls, activity] of [
      [[call('a')], beat('p/gpu@box', { ...waiting, phase: 'running', sinceMs: -60_000 })],
      [[call('a', 'succeeded')], beat('p/gpu', waiting)],
      [[call('a')], beat('p/gpu', { phase: 3 })],
      [[call('a')], { activityOptions: { taskQueue: { name: 'p/gpu' } }, heartbeatDetails: null }],
    ] as const)
      assert.deepEqual(withPhases({ calls }, described(activity), 0).calls, calls);
  });
});
