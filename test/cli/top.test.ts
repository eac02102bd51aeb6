import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Overview, RunSummary } from '../../src/client/index.js';
import { AnnealError } from '../../src/core/failures.js';
import { cli, STARTED_MS } from './fake-cli.js';

const run = (given: Partial<RunSummary>): RunSummary => ({
  runId: 'churn-1',
  pipeline: 'churn-training',
  state: 'running',
  startedAtMs: STARTED_MS,
  ...given,
});
const stuck = run({ runId: 'broken', stuck: 'The run is stuck: a worker fails on its history.' });
const asks = run({ runId: 'asks', state: 'waiting-for-approval' });
const overview: Overview = {
  pools: [
    { pool: 'cpu', running: 7, waiting: 0, queued: 0, oldestWaitMs: 0, served: true },
    { pool: 'gpu', running: 2, waiting: 1, queued: 3, oldestWaitMs: 65_000, served: false },
    { pool: 'gpu', host: 'box-2', running: 4, waiting: 0, queued: 0, oldestWaitMs: 0, served: true },
  ],
  poolsHaveMore: false,
  runs: [run({}), stuck, asks],
  counts: { running: 2, 'waiting-for-approval': 1 },
  stuck: [stuck],
  approvals: [asks],
  more: false,
};

describe('anneal top', () => {
  test('without a terminal shows once how pools do, what is stuck and what waits for people', async () => {
    const stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-top-'));
    try {
      const setting = { stateDir, client: { overview: async () => await Promise.resolve(overview) } };
      const { code, out } = await cli(['top'], setting);
      assert.equal(code, 0);
      assert.match(
        out,
        /^POOL +RUNNING +QUEUED +OLDEST\ncpu +7 +0\ngpu +2 +3 +1m 05s +1 of them wait for a GPU or a node, no worker asks for work\ngpu on box-2 +4 +0$/m,
      );
      assert.match(out, /^3 open runs: 2 running, 1 waiting-for-approval$/m);
      assert.match(out, /^STUCK broken: The run is stuck/m);
      assert.match(out, /^asks waits for a decision \(began 9\.0s ago\); see: anneal approvals$/m);
      const document = (await cli(['top', '--json'], setting)).document() as Overview;
      assert.deepEqual(document.pools, overview.pools);
      const many = { overview: async () => await Promise.resolve({ ...overview, poolsHaveMore: true }) };
      assert.match((await cli(['top'], { stateDir, client: many })).out, /^cpu +7\+ +0$/m);
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  });

  test('goes on when the server is away for a while, with what it saw last', async () => {
    const stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-top-'));
    const stop = new AbortController();
    let looks = 0;
    try {
      const { code, out } = await cli(['top'], {
        ...{ stateDir, tty: true, env: { NO_COLOR: '1' }, interrupt: stop.signal },
        client: {
          overview: async () => {
            if (++looks === 1) return await Promise.resolve(overview);
            stop.abort();
            throw new AnnealError('ServerUnreachable', 'Temporal did not answer.');
          },
        },
      });
      assert.equal(code, 0);
      assert.match(out, /As it was last seen\. Temporal did not answer\.\n\nPOOL/);
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  });

  test('on a terminal is drawn again until Ctrl-C', async () => {
    const stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-top-'));
    const stop = new AbortController();
    let looks = 0;
    try {
      const { code, out } = await cli(['top'], {
        stateDir,
        tty: true,
        env: { NO_COLOR: '1' },
        interrupt: stop.signal,
        client: {
          overview: async () => {
            if (++looks === 2) stop.abort();
            return await Promise.resolve(overview);
          },
        },
      });
      assert.equal(code, 0);
      assert.equal(out.split('POOL').length - 1, 2);
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  });
});
