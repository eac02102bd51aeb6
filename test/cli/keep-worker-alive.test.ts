import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { RunningWorker } from '../../src/local/worker-process.js';
import { keepWorkerAlive } from '../../src/cli/keep-worker-alive.js';

const found = { process: { pid: 7, startedAt: 'x' }, settings: '', started: false };

describe('a worker that was started by another command', () => {
  test('is started again when it dies', async () => {
    const deaths = [undefined, 'The worker (process 7) has ended'];
    const said: string[] = [];
    let tell: (pid: number) => void;
    const startedAgain = new Promise<number>((resolve) => (tell = resolve));
    const keeper = keepWorkerAlive({
      stack: {
        workerProblem: async () => await Promise.resolve(deaths.shift()),
        ensureWorker: async () => await Promise.resolve({ ...found, process: { pid: 8, startedAt: 'y' } }),
        workerLogEnd: async () => await Promise.resolve(''),
      },
      first: found,
      say: (text) => void said.push(text),
      onStart: ({ process: { pid } }) => tell(pid),
    });
    // Nothing else keeps this test's program alive.
    const alive = setInterval(() => undefined, 1_000);
    try {
      assert.equal(await startedAgain, 8);
      assert.match(said.join(), /^The worker ended \(it was started by another command\); starting it again/);
    } finally {
      keeper.stop();
      clearInterval(alive);
    }
  });
});

describe('a worker that is replaced on purpose', () => {
  test('is followed by its successor without a word, and stays the property of who started the first', async () => {
    const said: string[] = [];
    const started: RunningWorker[] = [];
    let end: (how: { code: number; signal: null }) => void = () => undefined;
    const first = {
      ...found,
      started: true,
      exited: new Promise<{ code: number; signal: null }>((resolve) => (end = resolve)),
    };
    const keeper = keepWorkerAlive({
      stack: {
        workerProblem: async () => await Promise.resolve(undefined),
        ensureWorker: async (options) => {
          assert.equal(options, undefined);
          end({ code: 0, signal: null });
          const exited = new Promise<never>(() => undefined);
          const process = { pid: 8, startedAt: 'y' };
          return await Promise.resolve({ ...found, process, started: true, replaced: true, exited });
        },
        workerLogEnd: async () => await Promise.resolve(''),
      },
      first,
      say: (text) => void said.push(text),
      onStart: (worker) => void started.push(worker),
    });
    await keeper.replace();
    // The end of the first has been heard of by now.
    await new Promise((resolve) => setImmediate(resolve));
    keeper.stop();
    assert.deepEqual(said, []);
    assert.deepEqual(
      started.map(({ process, replaced }) => [process.pid, replaced]),
      [[8, false]],
    );
  });
});
