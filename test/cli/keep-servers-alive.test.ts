import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { endProcess, readProcessIdentity } from '../../src/adapters/process-identity.js';
import { keepServersAlive } from '../../src/cli/keep-servers-alive.js';
import { readDeadServers, startLocalServers, stopLocalServers } from '../../src/local/local-servers.js';
import type { LocalServices } from '../../src/local/local-servers.js';
import { readServerRecord } from '../../src/local/server-record.js';
import { withLocalProject } from '../local/with-local-project.js';

const at = (temporal: string): LocalServices => ({
  temporal: { external: false, started: true, address: temporal, namespace: 'default' },
  mlflow: { external: false, started: true, trackingUri: 'http://127.0.0.1:5000' },
});

describe('kept local servers', () => {
  test('are started again when one dies, and stay stopped when they were told to', async () => {
    await withLocalProject(async (project) => {
      const { stateDir, env, ports } = project;
      const first = await project.start();
      const [leader] = (await readServerRecord(stateDir, 'temporal'))?.processes ?? [];
      assert.ok(leader !== undefined);
      await endProcess(leader, { graceMs: 0 });
      assert.deepEqual(await readDeadServers(stateDir), ['temporal']);

      let tell: (text: string) => void;
      const startedAgain = new Promise<string>((resolve) => (tell = resolve));
      const keeper = keepServersAlive({
        stack: {
          deadServers: async () => await readDeadServers(stateDir),
          running: async () => await Promise.resolve({ servers: true, worker: false }),
          startServers: async (options) => await startLocalServers({ stateDir, env, ports, ...options }),
        },
        first,
        onMoved: async () => await Promise.reject(new Error('it has moved')),
        say: (text) => {
          if (text.includes('up on port')) tell(text);
        },
      });
      // Nothing else keeps this test's program alive.
      const alive = setInterval(() => undefined, 1_000);
      try {
        assert.match(await startedAgain, /Temporal: up on port/);
        const [second] = (await readServerRecord(stateDir, 'temporal'))?.processes ?? [];
        assert.ok(second !== undefined && second.pid !== leader.pid);
      } finally {
        await keeper.stop();
        clearInterval(alive);
      }
      await stopLocalServers({ stateDir });
      assert.deepEqual(await readDeadServers(stateDir), []);
      assert.equal(await readProcessIdentity(leader.pid), undefined);
    });
  });

  test('tell their users when one has to take another port', async () => {
    const deaths = [['temporal'], ['temporal']];
    const places = [at('127.0.0.1:7233'), at('127.0.0.1:7300')];
    const said: string[] = [];
    let tell: (services: LocalServices) => void;
    const moved = new Promise<LocalServices>((resolve) => (tell = resolve));
    const keeper = keepServersAlive({
      stack: {
        deadServers: async () => await Promise.resolve(deaths.shift() ?? []),
        running: async () => await Promise.resolve({ servers: true, worker: true }),
        startServers: async () => await Promise.resolve(places.shift() ?? at('nowhere')),
      },
      first: at('127.0.0.1:7233'),
      say: (text) => void said.push(text),
      onMoved: async (services) => {
        tell(services);
        await Promise.resolve();
      },
    });
    const alive = setInterval(() => undefined, 1_000);
    try {
      assert.equal((await moved).temporal.address, '127.0.0.1:7300');
      assert.deepEqual(said, [
        'Another port is another address: the worker is started again with 127.0.0.1:7300.',
      ]);
    } finally {
      await keeper.stop();
      clearInterval(alive);
    }
  });

  test('that another command stops are not started again: whoever uses them is told', async () => {
    const keeper = keepServersAlive({
      stack: {
        deadServers: async () => await Promise.resolve([]),
        running: async () => await Promise.resolve({ servers: false, worker: false }),
        startServers: async () => await Promise.reject(new Error('they were started again')),
      },
      first: at('127.0.0.1:7233'),
      say: () => undefined,
      onMoved: async () => await Promise.resolve(),
    });
    const alive = setInterval(() => undefined, 1_000);
    try {
      await assert.rejects(keeper.failed, /Another command stopped the local servers/);
    } finally {
      await keeper.stop();
      clearInterval(alive);
    }
  });
});
