import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LocalStack } from '../../src/cli/context.js';
import { AnnealError } from '../../src/core/failures.js';
import { settingsOf } from '../../src/cli/worker-settings.js';
import { cli } from './fake-cli.js';

const DIGEST = 'b'.repeat(64);

async function run(current: string, ready?: LocalStack['workerReady']) {
  const done: string[] = [];
  const answer = await cli(['run', 'churn-training'], {
    client: {
      startRun: async () => {
        done.push('start');
        return await Promise.resolve({ runId: 'churn-1', executionId: 'e' });
      },
    },
    stack: {
      worker: async () => await Promise.resolve({ process: { pid: 1, startedAt: 'x' } }),
      readCurrent: async () => await Promise.resolve(current),
      isRamping: async () => await Promise.resolve(false),
      makeCurrent: async (digest) => {
        done.push(`current ${digest.slice(0, 4)}`);
        await Promise.resolve();
      },
      workerReady:
        ready ??
        (async ({ build }) => {
          done.push(`ready ${build.slice(0, 4)}`);
          await Promise.resolve();
        }),
    },
  });
  return { ...answer, done };
}

describe('run beside a local worker', () => {
  test('makes the code on disk current and waits until the worker has it', async () => {
    const { done, out } = await run('a'.repeat(64));
    assert.deepEqual(done, ['current bbbb', 'ready bbbb', 'start']);
    assert.match(out, /^Built bbbbbbbbbbbb\.$/m);
  });

  test('says nothing of an unchanged build', async () => {
    const { done, out } = await run(DIGEST);
    assert.deepEqual(done, ['ready bbbb', 'start']);
    assert.doesNotMatch(out, /Built/);
  });

  test('starts nothing when the worker does not get there', async () => {
    const { done, code } = await run(
      DIGEST,
      async () => await Promise.reject(new AnnealError('WorkerUnavailable', 'It ended.')),
    );
    assert.deepEqual({ done, code }, { done: [], code: 1 });
  });
});

describe('settings of a worker', () => {
  test('are the variables that steps see, and PATH as it is without npm', () => {
    const found = settingsOf({
      PATH: '/p/node_modules/.bin:/x/npm/node-gyp-bin:/usr/bin',
      HOME: '/h',
      MLFLOW_TRACKING_TOKEN: 't',
      ANNEAL_SECRET_A: 's',
      CUDA_VISIBLE_DEVICES: '0',
      npm_config_x: '1',
    });
    assert.deepEqual(found, [
      ['ANNEAL_SECRET_A', 's'],
      ['CUDA_VISIBLE_DEVICES', '0'],
      ['MLFLOW_TRACKING_TOKEN', 't'],
      ['PATH', '/usr/bin'],
    ]);
  });
});

test('an interrupted "up" says how to stop what it started', async () => {
  const interrupt = new AbortController();
  const { code, err } = await cli(['up'], {
    interrupt: interrupt.signal,
    stack: {
      startServers: async () => {
        interrupt.abort();
        return await Promise.reject(new Error('interrupted by SIGINT'));
      },
    },
  });
  assert.equal(code, 130);
  assert.match(err, /anneal down/);
});
