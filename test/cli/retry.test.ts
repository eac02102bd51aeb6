import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cli } from './fake-cli.js';

const started = { runId: 'churn-1.r2', executionId: 'exec-2', retryOf: 'churn-1', adopted: 3 };
const retrying = (pinnedTo?: string) => ({
  client: {
    retry: async () => await Promise.resolve({ ...started, ...(pinnedTo === undefined ? {} : { pinnedTo }) }),
  },
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
