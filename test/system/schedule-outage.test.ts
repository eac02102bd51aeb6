import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { sweepSchedules } from '../../src/activities/sweep-schedules.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createSchedules } from '../../src/client/schedules/create-schedules.js';
import { compileSchedule } from '../../src/core/schedule-times.js';
import { findFreePort } from '../../src/local/free-port.js';
import { createScheduleDirectory } from '../../src/workers/schedule-directory.js';
import { scheduled } from '../schedules/schedule-server.js';
import { until } from './support/until.js';

const EVERY = { every: '2s', overlap: 'allow-all', catchup: '10s' } as const;
/** Longer than the schedule catches up. */
const AWAY_MS = 20_000;

let folder = '';
let server: ChildProcess | undefined;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'anneal-outage-'));
});
after(async () => {
  await kill();
  await rm(folder, { recursive: true, force: true });
});

test('times that passed while the server was away are accounted for, each in one way', async () => {
  const port = await findFreePort([]);
  startServer(port);
  const connection = await until(
    'the server answers',
    async () => await Connection.connect({ address: `127.0.0.1:${port}` }),
  );
  try {
    const client = new Client({ connection });
    const store = createFileStore({ root: path.join(folder, 'store') });
    const deps = {
      temporal: client,
      project: 'shop',
      store,
      clock: { nowMs: () => Date.now(), sleep: async () => Promise.resolve() },
    };
    const schedules = createSchedules(deps);
    const sweep = async () => {
      await sweepSchedules({
        ...{ store, project: 'shop', schedules: createScheduleDirectory(client, 'shop'), settleMs: 2_000 },
        clock: { nowMs: () => Date.now() },
        tell: async () => Promise.resolve(),
        log: (message) => {
          throw new Error(message);
        },
      });
      return await schedules.history('often', { limit: 1_000 });
    };
    const oftenIs = async (ready: (times: Awaited<ReturnType<typeof sweep>>) => boolean) =>
      await until('its times are known', async () => {
        const times = await sweep();
        return ready(times) && times;
      });
    await until(
      'it is applied',
      async () => (await schedules.apply([scheduled('often', EVERY)])).unchanged.length === 1,
    );
    await oftenIs((times) => times.length >= 2);
    await kill();
    const backAtMs = Date.now() + AWAY_MS;
    await until('the server was away for long enough', () => Date.now() > backAtMs);
    startServer(port);
    const times = await oftenIs((found) =>
      found.some(({ atMs, run }) => run !== undefined && atMs > backAtMs + 4_000),
    );
    const settled = times.filter(({ atMs }) => atMs <= backAtMs + 2_000).map(({ atMs }) => atMs);
    const wanted = compileSchedule(EVERY)
      .between(Math.min(...settled) - 1, backAtMs + 2_000)
      .map(({ atMs }) => atMs);
    assert.deepEqual(
      settled.toSorted((a, b) => a - b),
      wanted,
    );
    const reasons = times.flatMap(({ skipped }) => (skipped === undefined ? [] : [skipped.reason]));
    assert.ok(reasons.length >= 3, `${reasons.length} times were missed`);
    assert.deepEqual([...new Set(reasons)], ['missed']);
  } finally {
    await connection.close();
  }
});

function startServer(port: number): void {
  const args = ['server', 'start-dev', '--headless', '--port', String(port), '--ip', '127.0.0.1'];
  server = spawn(
    process.env['ANNEAL_TEST_TEMPORAL'] ?? '',
    [...args, '--db-filename', path.join(folder, 'temporal.db'), '--log-level', 'never'],
    {
      stdio: 'ignore',
    },
  );
}

async function kill(): Promise<void> {
  if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGKILL');
  await ended;
}
