import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { AnnealError } from '../../src/core/failures.js';
import { serveHealth } from '../../src/telemetry/serve-health.js';

describe('the health of a worker', () => {
  test('is alive at once, ready when it says so, and gone when it is closed', async () => {
    const health = await serveHealth({ host: '127.0.0.1', port: 0 });
    const ask = async (path: string) => (await fetch(`http://127.0.0.1:${health.port}${path}`)).status;
    try {
      assert.deepEqual([await ask('/livez'), await ask('/readyz'), await ask('/')], [200, 503, 404]);
      health.ready();
      assert.deepEqual([await ask('/livez'), await ask('/readyz')], [200, 200]);
    } finally {
      await health.close();
    }
    await assert.rejects(ask('/livez'));
  });

  test('at an address that another program has is refused, by name', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const bound = other.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : assert.fail('it listens');
    try {
      await assert.rejects(serveHealth({ host: '127.0.0.1', port }), (error) => {
        assert.ok(error instanceof AnnealError);
        assert.equal(error.code, 'InvalidConfig');
        assert.match(
          error.message,
          new RegExp(`127\\.0\\.0\\.1:${port}: .*EADDRINUSE.*ANNEAL_HEALTH_ADDRESS`),
        );
        return true;
      });
    } finally {
      other.close();
    }
  });
});
