import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readPoolLoads, RUNS_DESCRIBED } from '../../src/client/pool-load.js';

type Deps = Parameters<typeof readPoolLoads>[0];

const NOW_MS = 1_000_000;
const seconds = (ms: number) => ({ seconds: ms / 1_000, nanos: 0 });
const attempt = (queue: string, state: 'scheduled' | 'started' | 'cancelling', given: object = {}) => ({
  ...{ activityType: { name: 'executeAttempt' }, activityOptions: { taskQueue: { name: queue } } },
  state: { scheduled: 1, started: 2, cancelling: 3 }[state],
  ...given,
});
const beat = (phase: string) => ({
  heartbeatDetails: {
    payloads: [{ data: Buffer.from(JSON.stringify({ callId: 'a', phase, sinceMs: 0 })) }],
  },
});

/** A server that knows these runs, and counts what it is asked. */
function server(runs: { readonly [runId: string]: readonly object[] }, backlog: readonly string[] = []) {
  const asked = { runs: 0, queues: [] as string[], atOnce: 0, most: 0 };
  const counted = async <T>(answer: () => T): Promise<T> => {
    asked.most = Math.max(asked.most, ++asked.atOnce);
    await new Promise(setImmediate);
    asked.atOnce--;
    return answer();
  };
  const workflowService = {
    describeWorkflowExecution: async ({ execution }: { execution: { workflowId: string } }) => {
      asked.runs++;
      return await counted(() => {
        const pendingActivities = runs[execution.workflowId];
        if (pendingActivities) return { pendingActivities };
        throw Object.assign(new Error('workflow not found'), { code: 5 });
      });
    },
    describeTaskQueue: async ({ taskQueue: { name } }: { taskQueue: { name: string } }) => {
      asked.queues.push(name);
      const waits = backlog.includes(name);
      return await counted(() => ({
        pollers: [{ lastAccessTime: seconds(NOW_MS - (waits ? 200_000 : 1_000)) }],
        stats: { approximateBacklogCount: waits ? 3 : 0, approximateBacklogAge: seconds(65_000) },
      }));
    },
  };
  const temporal = {
    ...{ workflowService, options: { namespace: 'default' } },
    withDeadline: async (_at: number, work: () => Promise<unknown>) => await work(),
  };
  const deps = { project: 'shop', temporal, clock: { nowMs: () => NOW_MS } } as object as Deps;
  return { asked, deps };
}

const cpu = { pool: 'cpu', taskQueue: 'shop/cpu@here' };
const cluster = { pool: 'a100', taskQueue: 'shop/a100' };

describe('how pools do', () => {
  test('is counted from what the server knows of runs, on whatever machine their attempts are', async () => {
    const { deps } = server(
      {
        one: [
          attempt(cpu.taskQueue, 'started'),
          attempt(cpu.taskQueue, 'scheduled'),
          attempt('shop/cpu@box-2', 'started', beat('queued')),
          attempt('shop/anneal', 'started', { activityType: { name: 'notify' } }),
        ],
        two: [
          attempt(cluster.taskQueue, 'started', beat('running')),
          attempt(cluster.taskQueue, 'started', beat('queued')),
          attempt(cluster.taskQueue, 'cancelling', { lastStartedTime: seconds(1_000) }),
          attempt(cluster.taskQueue, 'cancelling'),
        ],
      },
      [cluster.taskQueue],
    );
    const { pools, more } = await readPoolLoads(deps, [cpu, cluster], ['one', 'two', 'gone']);
    const idle = { queued: 0, oldestWaitMs: 0, served: true };
    assert.deepEqual(pools, [
      { pool: 'cpu', running: 1, waiting: 0, ...idle },
      { pool: 'a100', running: 3, waiting: 1, queued: 3, oldestWaitMs: 65_000, served: false },
      { pool: 'cpu', host: 'box-2', running: 1, waiting: 1, ...idle },
    ]);
    assert.equal(more, false);
  });

  test('costs a bounded number of calls however many runs and machines there are, and says that there is more', async () => {
    const runs = Object.fromEntries(
      Array.from({ length: 500 }, (_, i) => [`run-${i}`, [attempt(`shop/cpu@box-${i}`, 'started')]]),
    );
    const { asked, deps } = server(runs);
    const { pools, more } = await readPoolLoads(deps, [cpu, cluster], Object.keys(runs));
    assert.equal(asked.runs, RUNS_DESCRIBED);
    assert.equal(asked.queues.length, 2 + 20);
    assert.equal(asked.most, 10, 'so many at once');
    assert.equal(pools.length, 22);
    assert.equal(more, true);
    const few = server(runs);
    assert.equal((await readPoolLoads(few.deps, [cpu], ['run-1', 'run-2'])).more, false);
    assert.deepEqual(few.asked.queues, [cpu.taskQueue, 'shop/cpu@box-1', 'shop/cpu@box-2']);
  });
});
