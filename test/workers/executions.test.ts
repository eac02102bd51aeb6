import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { createExecutions, type ExecutionDirectory } from '../../src/workers/executions.js';

const CHAIN = { workflowId: 'nightly', executionId: 'first-1' };

describe('a chain of executions', () => {
  test('is open while its newest execution runs', async () => {
    assert.equal(await isClosed('RUNNING', 'first-1'), false);
    assert.equal(await isClosed('COMPLETED', 'first-1'), true);
  });

  test('is closed when another one runs under its id', async () => {
    assert.equal(await isClosed('RUNNING', 'first-2'), true);
  });

  test('is open by its state alone where the server does not name the chain', async () => {
    assert.equal(await isClosed('RUNNING', ''), false);
  });

  test('is closed when the server does not know it', async () => {
    const gone = new WorkflowNotFoundError('not found', 'nightly', undefined);
    assert.equal(await chainOf(() => Promise.reject(gone)), true);
  });
});

type Describe = ReturnType<ExecutionDirectory['workflow']['getHandle']>['describe'];

async function isClosed(name: string, firstRunId: string): Promise<boolean> {
  return await chainOf(() =>
    Promise.resolve({ status: { name }, raw: { workflowExecutionInfo: { firstRunId } } }),
  );
}

async function chainOf(describe: Describe): Promise<boolean> {
  return await createExecutions({ workflow: { getHandle: () => ({ describe }) } }).isChainClosed(CHAIN);
}

describe('the holder of a claim', () => {
  const holder = { runId: 'nightly', epoch: 'e-1', callId: 'c0ffee', attempt: 2 };
  const isLive = async (name: string, raw: Awaited<ReturnType<Describe>>['raw']) =>
    await createExecutions({
      workflow: { getHandle: () => ({ describe: () => Promise.resolve({ status: { name }, raw }) }) },
    }).isHolderLive(holder);

  test('lives while an activity of its attempt, or a workflow task, is pending', async () => {
    const pending = (activityId: string) => ({ pendingActivities: [{ activityId: '7' }, { activityId }] });
    assert.equal(await isLive('RUNNING', pending('c0ffee.2.attempt')), true);
    assert.equal(await isLive('RUNNING', pending('c0ffee.1.attempt')), false);
    assert.equal(await isLive('RUNNING', { pendingWorkflowTask: {} }), true);
    assert.equal(await isLive('RUNNING', {}), false);
    assert.equal(await isLive('TERMINATED', pending('c0ffee.2.attempt')), false);
  });

  test('does not live when the server does not know its execution', async () => {
    const gone = new WorkflowNotFoundError('not found', 'nightly', 'e-1');
    const workflow = { getHandle: () => ({ describe: () => Promise.reject(gone) }) };
    assert.equal(await createExecutions({ workflow }).isHolderLive(holder), false);
  });
});
