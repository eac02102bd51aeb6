import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pipEnvironment } from '../../src/adapters/pinned-tool.js';

test("installers do not see the project's secrets", () => {
  const kept = { PATH: '/usr/bin', PIP_INDEX_URL: 'https://mirror.example', ANNEAL_PYTHON: 'python3' };
  const env = {
    ...kept,
    ANNEAL_SECRET_KEY: 'a',
    ANNEAL_SMTP_URL: 'smtp://a:b@host',
    MLFLOW_TRACKING_USERNAME: 'a',
    MLFLOW_TRACKING_PASSWORD: 'b',
    MLFLOW_TRACKING_TOKEN: 'c',
    MLFLOW_TRACKING_URI: 'http://a:b@host',
  };
  assert.deepEqual(pipEnvironment(env), kept);
});
