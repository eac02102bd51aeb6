import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { STATUS_QUERY, type RunStatus } from '../../src/core/run.js';
import { startHarness, type Harness } from './harness.js';

const workflowsPath = fileURLToPath(new URL('./pinned-pipelines.ts', import.meta.url));
const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'pinned datasets on a real server',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false, timeout: 120_000 },
  () => {
    let h: Harness;
    let pins: string[] = [];
    before(async () => {
      h = await startHarness(temporalCli ?? '', { workflowsPath });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      pins = [];
      h.attempts.length = 0;
      h.pin = (uri) => {
        pins.push(uri);
        return {
          kind: 'Dataset',
          uri,
          digest: String(pins.length).repeat(64),
          sizeBytes: 1_500,
          form: 'file',
          values: {},
          pin: { pinnedAtMs: 1, source: uri, object: { path: '', sizeBytes: 1_500, etag: '"1"' } },
        };
      };
    });

    test('are pinned once for each call, over continue-as-new, and shown', async () => {
      h.snapshot = { continueAfterEvents: 20 };
      const handle = await h.start('pinned', { uri: 's3://data/a.csv' });
      assert.equal(await handle.result(), '2'.repeat(64));
      h.snapshot = {};
      assert.deepEqual(pins, ['s3://data/a.csv', 's3://data/a.csv']);
      const digests = h.attempts.map((attempt) => attempt.inputs['data']?.digest);
      assert.deepEqual(digests, ['1'.repeat(64), '1'.repeat(64)]);
      const { calls, continuations } = await handle.query<RunStatus>(STATUS_QUERY);
      assert.ok(continuations > 0);
      assert.deepEqual(
        calls
          .filter(({ kind }) => kind === 'dataset')
          .map(({ name, state, detail }) => [name, state, detail]),
        [
          ['customers', 'succeeded', '1.5Ki 111111111111'],
          ['customers', 'succeeded', '1.5Ki 222222222222'],
        ],
      );
    });

    test('decide what is reused: the same bytes hit, changed ones under the same URI miss', async () => {
      const keys: (string | undefined)[] = [];
      for (const digest of ['a', 'a', 'b'].map((digit) => digit.repeat(64))) {
        const uri = 's3://data/a.csv';
        h.pin = () => ({ kind: 'Dataset', uri, digest, sizeBytes: 1, form: 'file', values: {} });
        const handle = await h.start('reusing', { uri });
        await handle.result();
        const { calls } = await handle.query<RunStatus>(STATUS_QUERY);
        keys.push(calls.find(({ name }) => name === 'reuse')?.cache?.key);
      }
      const [first, again, changed] = keys;
      assert.ok(first);
      assert.equal(again, first);
      assert.notEqual(changed, first);
    });

    test('with a URI that is none are refused before anything is asked', async () => {
      const handle = await h.start('pinned', { uri: '/data/a.csv' });
      await assert.rejects(
        handle.result(),
        (error: Error & { cause?: { type?: string; message?: string } }) => {
          assert.equal(error.cause?.type, 'InvalidInput');
          assert.match(
            error.cause.message ?? '',
            /The URI of dataset "customers" is "\/data\/a\.csv"; it must be s3:\/\//,
          );
          return true;
        },
      );
      assert.deepEqual(pins, []);
    });
  },
);
