import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Client } from '@temporalio/client';
import { createAnnealClient } from '../../src/client/index.js';
import { COST_MEMO } from '../../src/core/cost.js';

/** A server on a clock of its own, which every call of it moves on; what is asked for after its deadline is refused as gRPC does it. */
function createServer() {
  const state = { nowMs: 0, deadlineMs: Infinity };
  const spend = (ms: number) => {
    state.nowMs += ms;
    if (state.nowMs > state.deadlineMs) throw Object.assign(new Error('too late'), { code: 4 });
  };
  const withDeadline = async <T>(deadlineMs: number, call: () => Promise<T>): Promise<T> => {
    const before = state.deadlineMs;
    state.deadlineMs = deadlineMs;
    try {
      return await call();
    } finally {
      state.deadlineMs = before;
    }
  };
  const run = (workflowId: string) => ({
    ...{ workflowId, type: 'train', startTime: new Date(0), status: { name: 'RUNNING' } },
    ...{ searchAttributes: {}, memo: { [COST_MEMO]: { total: 1, pools: { gpu: 1 } } } },
  });
  const workflow = {
    list: async function* () {
      for (let page = 0; page < 5; page++) {
        spend(6_000);
        for (let i = 0; i < 3; i++) yield run(`run-${page}-${i}`);
        await Promise.resolve();
      }
    },
    executeUpdateWithStart: async () =>
      await Promise.reject(Object.assign(new Error('connection dropped'), { code: 14 })),
    getHandle: () => ({
      describe: async () => await Promise.resolve({ runId: 'epoch', raw: {} }),
      executeUpdate: async () => {
        spend(600_000);
        return await Promise.resolve();
      },
    }),
    start: async () => {
      spend(60_000);
      return await Promise.resolve({ firstExecutionRunId: 'e' });
    },
  };
  const temporal = { workflow, withDeadline, options: { namespace: 'default' } } as object as Client;
  const clock = { nowMs: () => state.nowMs, sleep: async () => await Promise.resolve() };
  return createAnnealClient({ temporal, project: 'shop', clock });
}

describe('a server that takes its time', () => {
  test('has it for each page of a list, however many there are', async () => {
    const client = createServer();
    const { total, rows } = await client.costs({ by: 'pool', sinceMs: 0 });
    assert.deepEqual({ total, rows }, { total: 15, rows: [{ name: 'gpu', cost: 15, runs: 15 }] });
    assert.equal((await client.list({ limit: 100 })).length, 15);
  });

  test('that gives no answer to a command may have taken it: under which id it is the same command is said', async () => {
    const command = { step: 'train', command: 'halve', by: 'ana', id: 'c-7' };
    await assert.rejects(createServer().command('train-7', command), {
      code: 'WorkerUnavailable',
      message:
        /repeat the command\. The command may be on its way .* sent again with --id c-7 it is carried out once\.$/,
    });
  });

  test('whose connection breaks may have taken a rollback, which is not to be asked for twice', async () => {
    await assert.rejects(createServer().models.rollback({ model: 'churn', by: 'ana' }), {
      code: 'ServerUnreachable',
      message: /"rollback" may be carried out all the same: look at the aliases before asking again\.$/,
    });
  });

  test('that gives no answer to a start may have taken it: the id of the run is said', async () => {
    await assert.rejects(createServer().startRun('train', { runId: 'train-7' }), {
      code: 'ServerUnreachable',
      message:
        /Whether run "train-7" was started is not known: .* with --id train-7, which is refused where it was\.$/,
    });
  });
});
