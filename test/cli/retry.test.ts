import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cli } from './fake-cli.js';

const started = { runId: 'churn-1.r2', executionId: 'exec-2', retryOf: 'churn-1', adopted: 3 };
const retrying = (pinnedTo?: string) => ({
  client: {
    retry: async () => await Promise.resolve({ ...started, ...(pinnedTo === undefined ? {} : { pinnedTo }) }),
  },
});

describe('anneal retry --state failed', () => {
  const run = (runId: string, state: 'failed' | 'running', retryOf?: string) =>
    ({ runId, pipeline: 'churn', state, startedAtMs: 1_000, ...(retryOf && { retryOf }) }) as const;

  test('leaves runs alone that another run has taken up, also where that one runs or has completed', async () => {
    const all = [run('a', 'failed'), run('b', 'failed'), run('a.r2', 'running', 'a')];
    const retried: string[] = [];
    const client: Parameters<typeof cli>[1] = {
      client: {
        list: async ({ state, startedFromMs = 0 } = {}) =>
          await Promise.resolve(
            all.filter((one) => (state ?? one.state) === one.state && one.startedAtMs >= startedFromMs),
          ),
        retry: async (runId) => {
          retried.push(runId);
          return await Promise.resolve({ ...started, retryOf: runId });
        },
      },
    };
    const preview = await cli(['retry', '--state', 'failed'], client);
    assert.match(preview.out, /^b {2}/m);
    assert.doesNotMatch(preview.out, /^a {2}/m);
    assert.equal((await cli(['retry', '--state', 'failed', '--yes'], client)).code, 0);
    assert.deepEqual(retried, ['b']);
  });
});

describe('anneal retry --code same', () => {
  test('says what the run waits for where its build is not on this machine, and the way out', async () => {
    const { code, err } = await cli(['retry', 'churn-1', '--code', 'same'], retrying('f'.repeat(64)));
    assert.equal(code, 0);
    assert.match(
      err,
      /It waits for a worker of build f{12}, which is not on this machine.*anneal cancel churn-1\.r2, then anneal retry churn-1 --code new/,
    );
  });

  test('says nothing of builds where the current code runs', async () => {
    assert.equal((await cli(['retry', 'churn-1'], retrying())).err, '');
    const digest = 'b'.repeat(64);
    const stack = { readCurrent: async () => await Promise.resolve(digest) };
    assert.equal((await cli(['retry', 'churn-1', '--code', 'same'], { ...retrying(digest), stack })).err, '');
  });
});
