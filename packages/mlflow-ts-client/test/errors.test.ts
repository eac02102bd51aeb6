import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import {
  CLIENT_ERROR_CODES,
  createMlflowClient,
  isMlflowError,
  readMlflowEnvironment,
} from '../src/index.js';
import { ok, refuse, stage, text, wireExperiment, type Behaviour } from './misbehaving-server.js';

interface Row {
  readonly title: string;
  readonly answer: Behaviour;
  readonly code: string;
  readonly message: RegExp;
}

const rows: readonly Row[] = [
  {
    title: 'the host check',
    answer: text(403, 'Invalid Host header - possible DNS rebinding attack detected'),
    code: 'HOST_REFUSED',
    message: /--allowed-hosts "127\.0\.0\.1,127\.0\.0\.1:\*/,
  },
  {
    title: 'the origin check',
    answer: text(403, 'Cross-origin request blocked'),
    code: 'ORIGIN_REFUSED',
    message: /--cors-allowed-origins/,
  },
  {
    title: 'a permission',
    answer: text(403, 'Permission denied'),
    code: 'PERMISSION_DENIED',
    message: /administrator/,
  },
  {
    title: 'credentials as text',
    answer: text(401, 'You are not authenticated'),
    code: 'AUTH',
    message: /MLFLOW_TRACKING_USERNAME/,
  },
  {
    title: 'credentials as JSON',
    answer: refuse(401, 'UNAUTHENTICATED'),
    code: 'AUTH',
    message: /MLFLOW_TRACKING_TOKEN/,
  },
  {
    title: 'an artifact proxy that is off',
    answer: text(
      503,
      'Endpoint disabled due to the mlflow server running with `--no-serve-artifacts`. To enable, run `mlflow server` with `--serve-artifacts`',
    ),
    code: 'ARTIFACT_PROXY_OFF',
    message: /--serve-artifacts/,
  },
  {
    title: 'a server of artifacts only',
    answer: text(503, 'Endpoint disabled due to the mlflow server running in `--artifacts-only` mode.'),
    code: 'ARTIFACTS_ONLY',
    message: /tracking server/,
  },
  {
    title: 'an unknown route',
    answer: text(404, '<!doctype html><title>404</title>'),
    code: 'ENDPOINT_NOT_FOUND',
    message: /tracking URI/,
  },
  {
    title: 'a login page',
    answer: text(302, '', { location: 'https://sso.example/login' }),
    code: 'REDIRECTED',
    message: /sso\.example/,
  },
  {
    title: 'an HTML success',
    answer: text(200, '<html>hello</html>'),
    code: 'BAD_RESPONSE',
    message: /HTML page instead of JSON/,
  },
  {
    title: 'a field of the wrong type',
    answer: ok({ experiment: { experiment_id: '1', name: 5 } }),
    code: 'BAD_RESPONSE',
    message: /experiment\.name/,
  },
  {
    title: 'an error of MLflow',
    answer: refuse(404, 'RESOURCE_DOES_NOT_EXIST', 'No Experiment'),
    code: 'RESOURCE_DOES_NOT_EXIST',
    message: /No Experiment/,
  },
  {
    title: 'a proxy',
    answer: text(502, '<html>bad gateway</html>'),
    code: 'HTTP_ERROR',
    message: /from a proxy/,
  },
];

describe('an answer becomes one error', () => {
  for (const { title, answer, code, message } of rows) {
    test(`${title}: ${code}`, async (t) => {
      const { client } = await stage(t, [answer], { retry: { attempts: 1 } });
      await assert.rejects(
        client.experiments.get('1'),
        (error) => isMlflowError(error, code) && message.test(error.message),
      );
    });
  }

  test('a long message is one bounded line', async (t) => {
    const { client } = await stage(t, [refuse(400, 'BAD_REQUEST', 'SELECT\n'.repeat(5000))]);
    await assert.rejects(
      client.experiments.get('1'),
      (error) => isMlflowError(error) && error.message.length < 600 && !error.message.includes('\n'),
    );
  });
});

describe('configuration', () => {
  test('user name and password beat the token', () => {
    const env = {
      MLFLOW_TRACKING_USERNAME: 'ana',
      MLFLOW_TRACKING_PASSWORD: 'pw',
      MLFLOW_TRACKING_TOKEN: 't',
      MLFLOW_HTTP_REQUEST_TIMEOUT: '5',
      MLFLOW_HTTP_REQUEST_MAX_RETRIES: '0',
    };
    assert.deepEqual(readMlflowEnvironment(env), {
      auth: { username: 'ana', password: 'pw' },
      timeoutMs: 5000,
      retry: { attempts: 1 },
    });
  });

  test('empty variables are absent, and a user name alone leaves the token', () => {
    const env = {
      MLFLOW_TRACKING_URI: '',
      MLFLOW_TRACKING_USERNAME: 'ana',
      MLFLOW_TRACKING_TOKEN: 't',
      MLFLOW_WORKSPACE: 'w',
    };
    assert.deepEqual(readMlflowEnvironment(env), { auth: { token: 't' }, workspace: 'w' });
  });

  test('a variable that is no number is named', () => {
    assert.throws(
      () => readMlflowEnvironment({ MLFLOW_HTTP_REQUEST_TIMEOUT: 'soon' }),
      /MLFLOW_HTTP_REQUEST_TIMEOUT is "soon"/,
    );
  });

  test('switched-off certificate checks are refused', () => {
    assert.throws(
      () => readMlflowEnvironment({ MLFLOW_TRACKING_INSECURE_TLS: 'true' }),
      /NODE_EXTRA_CA_CERTS/,
    );
  });

  test('an address that is no server is refused without showing its password', () => {
    assert.throws(
      () => createMlflowClient({ trackingUri: 'ftp://ana:secret@host' }),
      (error) => isMlflowError(error, 'INVALID_CONFIGURATION') && !error.message.includes('secret'),
    );
    assert.throws(
      () => createMlflowClient({ trackingUri: 'sqlite:///mlflow.db' }),
      /not the address of a server/,
    );
  });

  test('credentials, workspace and path prefix reach the server', async (t) => {
    const { uri, seen } = await stage(t, [ok(wireExperiment)]);
    const trackingUri = `${uri.replace('//', '//ana:p%40ss@')}/prefix/`;
    const client = createMlflowClient({ trackingUri, workspace: 'team', userAgent: 'anneal/1' });
    assert.equal(client.server, `${uri}/prefix`);
    await client.experiments.get('7');
    const [request] = seen;
    assert.equal(request?.url, '/prefix/api/2.0/mlflow/experiments/get?experiment_id=7');
    assert.equal(request?.headers.authorization, `Basic ${Buffer.from('ana:p@ss').toString('base64')}`);
    assert.equal(request?.headers['x-mlflow-workspace'], 'team');
    assert.equal(request?.headers['user-agent'], 'anneal/1');
  });
});

test('every code of this client is in the README, and no code there is unknown', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const rows = readme.split('\n').filter((line) => /^\| `[A-Z]/.test(line));
  const documented = rows.flatMap((row) => row.split('|')[1]?.match(/[A-Z_]+/g) ?? []);
  const borrowed = ['PERMISSION_DENIED', 'ENDPOINT_NOT_FOUND'];
  assert.deepEqual(documented.sort(), [...Object.values(CLIENT_ERROR_CODES), ...borrowed].sort());
});
