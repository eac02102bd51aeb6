import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LocalStack } from '../../src/cli/context.js';
import { cli } from './fake-cli.js';

const local = { external: false, started: true };
const services = {
  temporal: { ...local, address: '127.0.0.1:1', namespace: 'default' },
  mlflow: { ...local, trackingUri: 'http://ml' },
};
const identity = { pid: 7, startedAt: 'x' };

/** A start that is interrupted once the worker is there, or fails before; answers with what was stopped. */
async function start(setting: {
  readonly servers: 'found' | 'started';
  readonly worker: { readonly started: boolean; readonly replaced?: boolean } | 'never';
  readonly stillRuns?: boolean;
}) {
  const stops: string[] = [];
  const interrupt = new AbortController();
  const stack: Partial<LocalStack> = {
    running: async () => await Promise.resolve({ servers: true, worker: setting.stillRuns === true }),
    startServers: async ({ onServer }) => {
      onServer?.('temporal', setting.servers);
      onServer?.('mlflow', setting.servers);
      if (setting.worker === 'never') interrupt.abort();
      return await Promise.resolve(services);
    },
    makeCurrent: async () => await Promise.resolve(),
    ensureWorker: async () => {
      if (setting.worker === 'never') throw new Error('the worker was never to be started');
      return await Promise.resolve({ process: identity, settings: '', ...setting.worker });
    },
    workerReady: async () => {
      interrupt.abort();
      await Promise.reject(new Error('interrupted'));
    },
    stopWorker: async (only) => {
      assert.deepEqual(only, identity);
      stops.push('worker');
      return await Promise.resolve(setting.stillRuns !== true);
    },
    endAttempts: async () => {
      stops.push('attempts');
      return await Promise.resolve([]);
    },
    stopServers: async () => {
      stops.push('servers');
      return await Promise.resolve([]);
    },
  };
  const { code, out } = await cli(['start'], { stack, interrupt: interrupt.signal });
  assert.equal(code, 130);
  said = out;
  return stops;
}

/** What the last start wrote. */
let said = '';

describe('start', () => {
  test('stops what it started: worker, attempts, servers', async () => {
    const stops = await start({ servers: 'started', worker: { started: true } });
    assert.deepEqual(stops, ['worker', 'attempts', 'servers']);
  });

  test('stops the servers that it started also when it ends before there is a worker', async () => {
    assert.deepEqual(await start({ servers: 'started', worker: 'never' }), ['servers']);
  });

  test('leaves the worker and the servers of another start alone, and a worker that it replaced', async () => {
    assert.deepEqual(await start({ servers: 'found', worker: { started: false } }), []);
    assert.deepEqual(await start({ servers: 'found', worker: { started: true, replaced: true } }), []);
  });

  test('says that what it found goes on, and how to stop it', async () => {
    await start({ servers: 'found', worker: { started: false }, stillRuns: true });
    assert.match(
      said,
      /The servers and worker that ran before this command go on\. Stop them with: anneal down\n$/,
    );
    await start({ servers: 'started', worker: { started: true } });
    assert.doesNotMatch(said, /go on/);
  });

  test('leaves attempts and servers to a worker that took the place of its own', async () => {
    const stops = await start({ servers: 'started', worker: { started: true }, stillRuns: true });
    assert.deepEqual(stops, ['worker']);
  });
});
