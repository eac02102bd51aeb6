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
