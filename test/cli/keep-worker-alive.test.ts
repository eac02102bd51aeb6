import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

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
