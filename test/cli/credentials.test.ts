import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { withoutCredentials } from '../../src/core/without-credentials.js';
import { checkMlflow } from '../../src/local/check-mlflow.js';

describe('credentials', () => {
  test('of an address are never shown', () => {
    assert.equal(withoutCredentials('https://ann:s3cret@host:5000/p'), 'https://host:5000/p');
    assert.equal(withoutCredentials('http://a:b@c@host/p?q=x@y'), 'http://host/p?q=x@y');
    assert.equal(withoutCredentials('http://host/p@q'), 'http://host/p@q');
  });

  test('of the MLflow variables are what the check of doctor uses', async () => {
    const server = createServer((request, response) => {
      const known = request.headers.authorization === 'Bearer right';
      response.writeHead(known ? 404 : 401, { 'content-type': 'application/json' });
      response.end(known ? '{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"none"}' : '{}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const trackingUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      assert.equal(await checkMlflow({ trackingUri, env: { MLFLOW_TRACKING_TOKEN: 'right' } }), undefined);
      assert.equal((await checkMlflow({ trackingUri, env: {} }))?.code, 'AUTH');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
