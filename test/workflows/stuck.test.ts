import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Client, Connection } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import { createAnnealClient, type AnnealClient } from '../../src/client/index.js';
import { pipelinesTaskQueue } from '../../src/core/run.js';

const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];
const PROJECT = 'stuck-test';
const logger = new DefaultLogger('ERROR', () => undefined);

/** What is waited for: the server gives a worker that fails one try in ten seconds at first. */
const WAIT_MS = 90_000;

describe(
  'a run that cannot go on with the code that there is now',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let env: TestWorkflowEnvironment;
    let connection: NativeConnection;
    let temporal: Client;
    let anneal: AnnealClient;
    before(async () => {
      Runtime.install({ logger });
      env = await TestWorkflowEnvironment.createLocal({
        server: {
          executable: { type: 'existing-path', path: temporalCli ?? '' },
          searchAttributes: [{ name: 'AnnealStatus', type: 'KEYWORD' }],
          // Five in a row by default, the later ones minutes apart.
          extraArgs: [
            '--dynamic-config-value',
            'system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2',
          ],
        },
      });
      connection = await NativeConnection.connect({ address: env.address });
      temporal = new Client({ connection: await Connection.connect({ address: env.address }) });
      anneal = createAnnealClient({ temporal, project: PROJECT });
    });
    after(async () => {
      await temporal.connection.close();
      await connection.close();
      await env.teardown();
    });

    const withWorker = async (code: 'before' | 'after', work: () => Promise<void>) => {
      const workflowsPath = fileURLToPath(new URL(`./fixtures/stuck/${code}.ts`, import.meta.url));
      const worker = await Worker.create({
        connection,
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowBundle: await bundleWorkflowCode({ workflowsPath, logger }),
      });
      await worker.runUntil(work);
    };
    const start = async (workflowId: string) =>
      await temporal.workflow.start('nightly', {
        taskQueue: pipelinesTaskQueue(PROJECT),
        workflowId,
        workflowTaskTimeout: '1s',
      });
    const reasonOf = async (runId: string) => (await anneal.list()).find((run) => run.runId === runId)?.stuck;
    const stuckAfterChange = async (runId: string) => {
      const handle = await start(runId);
      await withWorker('before', async () => {
        const hasBegun = async () =>
          (await handle.fetchHistory()).events?.some((event) => event.timerStartedEventAttributes);
        assert.ok(await waitUntil(async () => (await hasBegun()) === true, WAIT_MS));
      });
      await withWorker('after', async () => {
        assert.ok(await waitUntil(async () => (await reasonOf(runId)) !== undefined, WAIT_MS), 'no STUCK');
      });
      return handle;
    };

    test('is listed as stuck with the cause, and goes on when the code that it began with is back', async () => {
      const handle = await stuckAfterChange('changed-code');
      assert.match(
        (await reasonOf('changed-code')) ?? '',
        /^The run is stuck: a worker fails on its history every time \(non-deterministic error\)\..* anneal terminate$/,
      );
      const [listed] = (await anneal.list()).filter((run) => run.runId === 'changed-code');
      assert.equal(listed?.endedAtMs, undefined);
      await withWorker('before', async () => {
        assert.equal(await handle.result(), 'done');
      });
      assert.equal(await reasonOf('changed-code'), undefined);
    });

    test('can be terminated while no worker is alive, and is no longer stuck then', async () => {
      await stuckAfterChange('given-up');
      assert.equal((await anneal.terminate('given-up', 'its code is gone')).state, 'terminated');
      assert.ok(await waitUntil(async () => (await reasonOf('given-up')) === undefined, WAIT_MS));
    });
  },
);
