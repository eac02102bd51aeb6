import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  BACKFILL_PROGRESS,
  BACKFILL_WORKFLOW,
  backfillWorkflowId,
  type BackfillProgress,
  type BackfillState,
} from '../../src/core/backfill.js';
import { partitionsBetween } from '../../src/core/partitions.js';
import { systemTaskQueue } from '../../src/core/run.js';
import { until } from '../system/support/until.js';
import { PROJECT, startHarness, succeeded, type Harness } from '../workflows/harness.js';

/**
 * Asked for by hand, since it takes half an hour, more than `npm test` gives a file:
 * ANNEAL_TEST_PARTITIONS=10000 ANNEAL_TEST_TEMPORAL=$(which temporal) node --import tsx --test test/backfill/many.test.ts
 */
const count = Number(process.env['ANNEAL_TEST_PARTITIONS'] ?? 0);
const concurrency = Number(process.env['ANNEAL_TEST_CONCURRENCY'] ?? 20);
const cli = process.env['ANNEAL_TEST_TEMPORAL'];

const SHOW_MS = 30_000;

test(
  'a backfill of many partitions makes each of them once',
  { skip: count > 0 && cli !== undefined ? false : 'ANNEAL_TEST_PARTITIONS is not set' },
  async (t) => {
    const folder = path.dirname(fileURLToPath(import.meta.url));
    const h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'backfill-pipelines.ts') });
    t.after(async () => await h.close());
    h.script = (request) => succeeded(request);
    h.snapshot = { tracked: false };
    const keys = partitionsBetween('day', '1990-01-01', '2262-01-01').slice(0, count);
    const startedMs = performance.now();
    const seconds = () => (performance.now() - startedMs) / 1_000;
    const handle = await h.client.workflow.start(BACKFILL_WORKFLOW, {
      taskQueue: systemTaskQueue(PROJECT),
      workflowId: backfillWorkflowId('daily'),
      args: [stateOf(keys)],
    });
    const showing = new AbortController();
    // At once: a diagnosis of the test is shown at its end.
    const shown = showProgress(h, showing.signal, (line) =>
      console.log(`${Math.round(seconds())} s: ${line}`),
    );
    const result = (await handle.result()) as BackfillProgress;
    const took = seconds();
    showing.abort();
    await shown;
    assert.deepEqual([result.state, result.made, result.failed], ['completed', count, []]);
    const made = new Set(h.attempts.map(({ parameters }) => parameters['day']));
    assert.deepEqual([made.size, h.attempts.length], [count, count], 'each day once');
    const query = "WorkflowType = 'daily' AND ExecutionStatus = 'Completed'";
    await until('all runs are listed', async () => (await h.client.workflow.count(query)).count === count);
    const continued = `WorkflowId = '${handle.workflowId}' AND ExecutionStatus = 'ContinuedAsNew'`;
    const continuations = (await h.client.workflow.count(continued)).count;
    t.diagnostic(
      `${count} partitions, ${concurrency} at once: ${Math.round(took)} s, ${(count / took).toFixed(1)} a second; the backfill continued as new ${continuations} times; ${await memory()}`,
    );
  },
);

function stateOf(keys: readonly string[]): BackfillState {
  return {
    ...{ project: PROJECT, pipeline: 'daily', parameter: 'day', concurrency },
    ...{ queue: [{ keys, again: false, params: {} }], running: [], failed: [], startedAtMs: 0 },
    ...{ made: 0, skipped: 0, cancelled: 0, paused: false, cancelling: false },
  };
}

async function showProgress(h: Harness, signal: AbortSignal, show: (line: string) => void): Promise<void> {
  const handle = h.client.workflow.getHandle(backfillWorkflowId('daily'));
  while (!signal.aborted) {
    // A busy server may not answer in time: the next look does.
    const now = await handle.query<BackfillProgress>(BACKFILL_PROGRESS).catch(() => undefined);
    if (now !== undefined)
      show(
        `${now.made} made, ${now.running.length} under way, ${now.failed.length} failed; ${await memory()}`,
      );
    await wait(SHOW_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Of this process, which is worker and client, and of the server that it started, where the system tells. */
async function memory(): Promise<string> {
  const own = `this process ${Math.round(process.memoryUsage().rss / 1e6)} MB`;
  const server = await serverKilobytes();
  return server === undefined ? own : `${own}, the server ${Math.round(server / 1e3)} MB`;
}

async function serverKilobytes(): Promise<number | undefined> {
  for (const pid of await readdir('/proc').catch(() => [])) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    if (new RegExp(`^PPid:\\s+${process.pid}$`, 'm').test(status) && /^Name:\s+temporal/m.test(status))
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return undefined;
}
