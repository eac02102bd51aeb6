import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { createAnnealClient, type AnnealClient } from '../../src/client/index.js';
import {
  LANE_SUBMIT,
  LANE_WITHDRAW,
  LANE_WORKFLOW,
  laneWorkflowId,
  type LaneWork,
} from '../../src/core/registry.js';
import { systemTaskQueue } from '../../src/core/run.js';
import { PROJECT, startHarness, type Harness } from './harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'the lane of a model, asked by people and runs',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    let client: AnnealClient;
    const works: LaneWork[] = [];
    before(async () => {
      h = await startHarness(cli ?? '');
      client = createAnnealClient({ temporal: h.client, project: PROJECT });
    });
    after(async () => await h.close());
    const until = async (condition: () => Promise<boolean>) => {
      while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const answerWith = (answer: Harness['lane']) => {
      works.length = 0;
      h.lane = async (work) => {
        works.push(work);
        return await answer(work);
      };
    };

    test('promotes, rolls back, demotes and repairs for a client, and closes', async () => {
      const repairs = [{ alias: 'champion', version: '3', found: '2' }];
      answerWith(({ operation }) =>
        operation.kind === 'reconcile' ? { version: '', repairs } : { version: '7', replaced: '6' },
      );
      const of = { model: 'people', by: 'ana' };
      const moved = { model: 'people', alias: 'champion', version: 7, replaced: 6, repairs: [] };
      assert.deepEqual(await client.models.promote({ ...of, version: 7 }), moved);
      assert.deepEqual(await client.models.rollback({ ...of, alias: 'challenger' }), {
        ...moved,
        alias: 'challenger',
      });
      assert.deepEqual(await client.models.demote(of), { ...moved, version: null, replaced: 7 });
      assert.deepEqual(await client.models.repair('people'), repairs);
      assert.deepEqual(
        works.map(({ operation }) => operation.kind),
        ['promote', 'rollback', 'demote', 'reconcile'],
      );
      const orders = works.map(({ order = 0 }) => order);
      assert.deepEqual(
        orders,
        [...new Set(orders)].toSorted((a, b) => a - b),
      );
      await h.client.workflow.getHandle('model/people').result();
    });

    test('carries out requests of runs and people one at a time, in one order, each once', async () => {
      let busy = 0;
      answerWith(async () => {
        assert.equal(++busy, 1, 'two operations at once');
        await new Promise((resolve) => setTimeout(resolve, 20));
        busy--;
        return { version: '7' };
      });
      const asked = Array.from({ length: 6 }, (_, i) =>
        client.models.promote({ model: 'churn', by: 'ana', version: i + 1, requestId: `r${i % 5}` }),
      );
      const runs = [await h.start('registers'), await h.start('registers')];
      await Promise.all([...asked, ...runs.map(async (run) => (await run.result()) as unknown)]);
      // Five requests of people, of which one came twice, and two of each run.
      assert.equal(works.length, 9);
      const orders = works.map(({ order = 0 }) => order);
      assert.deepEqual(
        orders,
        [...new Set(orders)].toSorted((a, b) => a - b),
      );
      assert.equal(new Set(works.map(({ requestId }) => requestId)).size, 9);
      await h.client.workflow.getHandle('model/churn').result();
    });

    test('a run that is cancelled while its request is on the way registers nothing', async () => {
      answerWith(() => ({ version: '7' }));
      let sending = false;
      let send = () => undefined as void;
      const sent = new Promise<void>((resolve) => (send = resolve));
      h.submitting = async () => {
        sending = true;
        await sent;
      };
      const run = await h.start('registers');
      while (!sending) await new Promise((resolve) => setTimeout(resolve, 10));
      await run.cancel();
      await assert.rejects(run.result());
      h.submitting = () => Promise.resolve();
      send();
      const lane = h.client.workflow.getHandle('model/churn');
      await until(async () => JSON.stringify(await lane.fetchHistory()).includes('"submit"'));
      // What comes next is carried out, and what was taken back is not.
      await client.models.promote({ model: 'churn', by: 'ana', version: 9 });
      assert.deepEqual(
        works.map(({ operation }) => operation.kind),
        ['promote'],
      );
      await lane.terminate();
    });

    test('a withdrawal that comes before its request counts', async () => {
      answerWith(() => ({ version: '7' }));
      const request = { modelName: 'early', operation: { kind: 'reconcile' } } as const;
      const lane = await h.client.workflow.signalWithStart(LANE_WORKFLOW, {
        workflowId: laneWorkflowId('early'),
        taskQueue: systemTaskQueue(PROJECT),
        args: [],
        signal: LANE_WITHDRAW,
        signalArgs: ['taken back'],
      });
      await lane.signal(LANE_SUBMIT, { ...request, requestId: 'taken back' });
      await lane.signal(LANE_SUBMIT, { ...request, requestId: 'wanted' });
      await until(() => Promise.resolve(works.length > 0));
      await lane.terminate();
      assert.deepEqual(
        works.map(({ requestId }) => requestId),
        ['wanted'],
      );
    });

    test('gives the failure of an operation to who asked, by its code', async () => {
      answerWith(() => {
        throw ApplicationFailure.nonRetryable('no version 9', 'InvalidInput');
      });
      await assert.rejects(client.models.promote({ model: 'failing', by: 'ana', version: 9 }), {
        code: 'InvalidInput',
        message: /no version 9/,
      });
    });

    test('stays open after a write in doubt, and takes what comes next', async () => {
      answerWith(() => ({ version: '7', doubtful: true }));
      await client.models.promote({ model: 'doubtful', by: 'ana', version: 7 });
      const lane = h.client.workflow.getHandle('model/doubtful');
      const { runId } = await lane.describe();
      answerWith(() => ({ version: '8' }));
      await client.models.promote({ model: 'doubtful', by: 'ana', version: 8 });
      const described = await lane.describe();
      assert.equal(described.runId, runId, 'the same execution');
      assert.deepEqual(
        works.map(({ operation }) => operation.kind),
        ['promote'],
      );
      await lane.terminate();
    });

    test('refuses aliases and versions that MLflow would refuse, before anything is sent', async () => {
      answerWith(() => ({ version: '7' }));
      for (const alias of ['latest', 'v1', 'a b', ''])
        await assert.rejects(client.models.promote({ model: 'm', by: 'ana', version: 1, alias }), {
          code: 'InvalidInput',
          message: /cannot be an alias/,
        });
      await assert.rejects(client.models.promote({ model: 'm', by: 'ana', version: 1.5 }), {
        code: 'InvalidInput',
      });
      assert.equal(works.length, 0);
    });
  },
);
