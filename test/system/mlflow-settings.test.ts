import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createRegistryActivities } from '../../src/activities/registry.js';
import { createTrackingActivities } from '../../src/activities/tracking.js';
import { checkMlflow, connectMlflow } from '../../src/adapters/mlflow/connect.js';
import { createContext, createMemoryStore, storeModel } from '../tracking/fixtures.js';
import {
  mlflowExecutable as executable,
  realClock as clock,
  startRealMlflow,
  withoutMlflow as skip,
} from './mlflow-server.js';

/** An interpreter beside which is what MLflow's basic-auth app needs more than MLflow. */
const auth = process.env['ANNEAL_TEST_MLFLOW_AUTH'] ?? '';
const context = createContext();

/** Does with a server what a run does: opens its tracking, registers a model, promotes it. */
async function work(trackingUri: string, env: NodeJS.ProcessEnv = {}) {
  const { tracking, registry } = connectMlflow({ trackingUri, env, clock, patienceMs: 5_000 });
  const { openTracking } = createTrackingActivities({ tracking, clock, context, project: 'churn' });
  const run = { pipeline: 'p', executionId: 'exec', parameters: {}, tags: [], build: 'b' };
  const { experimentId, parentRunId } = await openTracking(run);
  const store = createMemoryStore();
  const { runLaneOperation } = createRegistryActivities({ registry, clock, store, context });
  const model = await storeModel(store, { MLmodel: 'flavors: {}\n', weights: 'w' });
  const source = { experimentId, runId: parentRunId };
  const operation = { kind: 'register', key: 'a'.repeat(64), model, metrics: {}, tags: {}, source } as const;
  const { version } = await runLaneOperation({ modelName: 'm', operation });
  const promote = { kind: 'promote', alias: 'champion', version, by: 'ana' } as const;
  return await runLaneOperation({ modelName: 'm', operation: promote, requestId: 'r', order: 1 });
}

const oneSentence = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Error && 'code' in error, String(error));
  assert.equal(error.code, 'TrackingRefused');
  assert.match(error.message, pattern);
  assert.doesNotMatch(error.message, /\n|undefined|wrong-password/);
  return true;
};

describe('an MLflow that asks for a login', () => {
  const missing = auth === '' ? 'ANNEAL_TEST_MLFLOW_AUTH does not name an interpreter' : skip;
  test(
    'lets in who has one, and refuses others at once with the variables to set',
    { skip: missing },
    async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'anneal-mlflow-auth-'));
      const config = path.join(folder, 'auth.ini');
      await writeFile(
        config,
        `[mlflow]
default_permission = READ
database_uri = sqlite:///${folder}/auth.db
admin_username = admin
admin_password = unused-password
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
`,
      );
      const packages = path.join(path.dirname(auth), '../lib');
      const [python = ''] = await readdir(packages);
      const login = { MLFLOW_TRACKING_USERNAME: 'admin', MLFLOW_TRACKING_PASSWORD: 'correct-horse-battery' };
      const server = await startRealMlflow(executable ?? '', {
        args: ['--app-name', 'basic-auth'],
        env: {
          PYTHONPATH: path.join(packages, python, 'site-packages'),
          MLFLOW_AUTH_CONFIG_PATH: config,
          MLFLOW_FLASK_SERVER_SECRET_KEY: 'a-key-for-tests',
          MLFLOW_AUTH_ADMIN_USERNAME: login.MLFLOW_TRACKING_USERNAME,
          MLFLOW_AUTH_ADMIN_PASSWORD: login.MLFLOW_TRACKING_PASSWORD,
        },
      });
      try {
        const refused =
          /did not accept the credentials for .* \(HTTP 401\)\. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD/;
        for (const env of [{}, { ...login, MLFLOW_TRACKING_PASSWORD: 'wrong-password' }]) {
          await assert.rejects(work(server.url, env), oneSentence(refused));
          const problem = await checkMlflow({ trackingUri: server.url, env });
          assert.deepEqual([problem?.code, problem?.status], ['AUTH', 401]);
        }
        assert.equal((await work(server.url, login)).version, '1');
        assert.equal(await checkMlflow({ trackingUri: server.url, env: login }), undefined);
      } finally {
        await server.stop();
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});

describe('an MLflow whose host check does not know the name that it is called by', () => {
  test('is told of with the flag that lets this machine in, and takes it', { skip }, async () => {
    const strict = await startRealMlflow(executable ?? '', {
      args: ['--allowed-hosts', 'mlflow.example.com'],
    });
    let flag = '';
    try {
      await assert.rejects(work(strict.url), (error: Error) => {
        oneSentence(
          /its host check does not list "127\.0\.0\.1:\d+" \(HTTP 403\)\. Start it with --allowed-hosts "[^"]+"/,
        )(error);
        flag = /--allowed-hosts "([^"]+)"/.exec(error.message)?.[1] ?? '';
        return true;
      });
      assert.equal((await checkMlflow({ trackingUri: strict.url, env: {} }))?.code, 'HOST_REFUSED');
    } finally {
      await strict.stop();
    }
    const mended = await startRealMlflow(executable ?? '', { args: ['--allowed-hosts', flag] });
    try {
      assert.equal((await work(mended.url)).version, '1');
    } finally {
      await mended.stop();
    }
  });
});
