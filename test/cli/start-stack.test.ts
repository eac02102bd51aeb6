import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from './fake-cli.js';

const local = { external: false, started: true };
const services = {
  temporal: { ...local, address: '127.0.0.1:1', namespace: 'default' },
  mlflow: { ...local, trackingUri: 'http://ml' },
};

test('the worker is started while MLflow is still starting', async () => {
  let answer: () => void = () => undefined;
  const mlflow = new Promise<void>((resolve) => (answer = resolve));
  const events: string[] = [];
  const { code } = await cli(['up'], {
    stack: {
      startServers: async ({ onWorkable }) => {
        onWorkable?.();
        await mlflow;
        events.push('MLflow answers');
        return services;
      },
      makeCurrent: async () => await Promise.resolve(),
      ensureWorker: async () =>
        await Promise.resolve({ process: { pid: 7, startedAt: 'x' }, settings: '', started: true }),
      workerReady: async () => {
        events.push('the worker takes work');
        answer();
        await Promise.resolve();
      },
    },
  });
  assert.equal(code, 0);
  assert.deepEqual(events, ['the worker takes work', 'MLflow answers']);
});

test('servers that do not come up are what is said, and no worker is started for them', async () => {
  const failure = Object.assign(new Error('Temporal ended at once.'), { code: 'SETUP_FAILED' });
  const { code, err } = await cli(['up'], {
    stack: { startServers: async () => await Promise.reject(failure) },
  });
  assert.deepEqual([code, err], [2, 'SetupFailed: Temporal ended at once.\n']);
});
