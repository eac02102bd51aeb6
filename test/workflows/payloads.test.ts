import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import { createPayloadCodec, PAYLOAD_LIMIT_BYTES } from '../../src/adapters/payload-codec.js';
import { PARAMETERS_LIMIT } from '../../src/core/schema.js';
import { INLINE_PAYLOAD, STATUS_QUERY, type RunStatus } from '../../src/core/run.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { failed, startHarness, succeeded, type Harness } from './harness.js';

const workflowsPath = fileURLToPath(new URL('./large-pipelines.ts', import.meta.url));
const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];
/** What no payload of a history may be above. */
const LIMIT = 64 * 1024;

describe(
  'large payloads on a real server',
  { skip: temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false, timeout: 120_000 },
  () => {
    let h: Harness;
    const store = createMemoryStore();
    const codec = createPayloadCodec(store);
    /** Of each answer of a query: how many bytes it had before and after the codec. */
    const answers: { readonly before: number; readonly after: number }[] = [];
    const watched = async (payloads: Payload[]) => {
      const encoded = await codec.encode(payloads);
      for (const [at, payload] of payloads.entries())
        if (payload.metadata?.[INLINE_PAYLOAD])
          answers.push({ before: payload.data?.length ?? 0, after: encoded[at]?.data?.length ?? 0 });
      return encoded;
    };
    before(async () => {
      h = await startHarness(temporalCli ?? '', {
        workflowsPath,
        dataConverter: { payloadCodecs: [{ ...codec, encode: watched }] },
      });
    });
    after(async () => {
      await h.close();
    });
    /** The status when it waits for the approval. @throws what the run failed with. */
    const untilAsked = async (handle: WorkflowHandle): Promise<RunStatus> => {
      for (;;) {
        const status = await handle.query<RunStatus>(STATUS_QUERY);
        if (status.state === 'failed') throw new Error(status.failure?.message);
        if (status.approvals.length > 0) return status;
        await wait(50);
      }
    };
    const settings = (length: number) => ({ settings: { text: 'p'.repeat(length) } });

    test('are in no history: parameters, inputs, outputs, results, failures, journals', async () => {
      h.snapshot = { continueAfterEvents: 15 };
      const { text } = settings(900_000).settings;
      let tries = 0;
      h.script = (request) =>
        tries++ === 0
          ? {
              ...failed(request, 'AttemptKilled'),
              logTail: Array.from({ length: 20 }, () => 'l'.repeat(5_000)),
            }
          : { ...succeeded(request), parameters: { echo: text } };
      const handle = await h.start('large', settings(900_000));
      const [{ digest } = { digest: '' }] = (await untilAsked(handle)).approvals;
      await handle.signal('decide', { gate: 'go', digest, decision: 'approve', by: 'ana' });
      assert.deepEqual(await handle.result(), { echo: text, text: 'x'.repeat(300_000) });
      const { executions, sizes } = await payloadsOf(h, handle.workflowId);
      assert.ok(executions > 2, `${executions} executions`);
      assert.ok(sizes.length > 20);
      assert.ok(Math.max(...sizes) <= LIMIT, `the largest payload has ${Math.max(...sizes)} bytes`);
      assert.ok(store.objects.size > 5);
    });

    test('are answers of queries, too, and those never go to the store', async () => {
      h.snapshot = {};
      h.script = (request) => ({ ...succeeded(request), parameters: { echo: 1 } });
      const handle = await h.start('large', settings(100_000));
      const status = await untilAsked(handle);
      assert.deepEqual(status.parameters, settings(100_000));
      const last = answers.at(-1);
      assert.ok(last && last.before > 100_000);
      assert.equal(last.after, last.before);
      await handle.terminate();
    });

    test('that would be too long for a query are cut in its answer, with what is left out', async () => {
      const handle = await h.start('large', settings(900_000));
      const { parameters } = await handle.query<RunStatus>(STATUS_QUERY);
      assert.match(JSON.stringify(parameters), /^.{200,300}… \(900011 characters of JSON\)"}$/);
      await handle.terminate();
    });

    test('above the limit are refused with the limit and what to use instead', async () => {
      const handle = await h.start('large', settings(PARAMETERS_LIMIT));
      await assert.rejects(handle.result(), (error: Error & { cause?: Error }) => {
        assert.match(error.cause?.message ?? '', /at most 1000000 are allowed.*pinDataset\(\)/);
        return true;
      });
    });
  },
);

test('a payload at the limit stays where it is, and one above it comes back as it was', async () => {
  const store = createMemoryStore();
  const codec = createPayloadCodec(store);
  const payload = (length: number) => ({
    metadata: { encoding: Buffer.from('json/plain'), odd: Buffer.from([0, 255]) },
    data: Buffer.alloc(length, 1),
  });
  const [small] = await codec.encode([payload(PAYLOAD_LIMIT_BYTES)]);
  assert.deepEqual(small, payload(PAYLOAD_LIMIT_BYTES));
  assert.equal(store.objects.size, 0);
  const [large] = await codec.encode([payload(PAYLOAD_LIMIT_BYTES + 1)]);
  assert.ok(large?.data && large.data.length < 300);
  assert.deepEqual(await codec.decode([large]), [payload(PAYLOAD_LIMIT_BYTES + 1)]);
});

/** Sizes of all payloads in the histories of all executions of a run and of its children. */
async function payloadsOf(h: Harness, workflowId: string) {
  const sizes: number[] = [];
  let executions = 0;
  const mine = h.client.workflow.list({ query: `RootWorkflowId = "${workflowId}"` });
  for await (const { workflowId: id, runId } of mine) {
    const history = await h.client.workflow.getHandle(id, runId).fetchHistory();
    executions += 1;
    walk(history, sizes);
  }
  return { executions, sizes };
}

function walk(value: unknown, sizes: number[]): void {
  if (typeof value !== 'object' || value === null) return;
  if (value instanceof Uint8Array) {
    sizes.push(value.length);
    return;
  }
  for (const member of Object.values(value)) walk(member, sizes);
}
