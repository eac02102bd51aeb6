import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createStepCache } from '../../src/activities/step-cache.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createPayloadCodec } from '../../src/adapters/payload-codec.js';
import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import { createRetention } from '../../src/client/retention/create-retention.js';
import { storeKeys, type ArtifactStore, type StoredObject } from '../../src/core/artifact-store.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { digestOfText } from '../../src/core/digest.js';
import { dayOf, readRetention } from '../../src/core/retention.js';
import { createExecutions } from '../../src/workers/executions.js';
import { s3Program, startS3Server } from '../store/s3-server.js';
import { PROJECT, startHarness, succeeded, type Harness } from './harness.js';

const workflowsPath = fileURLToPath(new URL('./cached-pipelines.ts', import.meta.url));
const temporalCli = process.env['ANNEAL_TEST_TEMPORAL'];
const LONG_MS = 200 * 86_400_000;
/** Large enough to travel by reference. */
const SEED = 's'.repeat(40_000);

interface Place {
  readonly store: ArtifactStore;
  readonly stop: () => Promise<unknown>;
}

describeRetention('files', undefined, async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-retention-'));
  return {
    store: createFileStore({ root }),
    stop: async () => await rm(root, { recursive: true, force: true }),
  };
});
describeRetention('a bucket', s3Program === undefined ? 'ANNEAL_TEST_S3 is not set' : undefined, async () => {
  const s3 = await startS3Server();
  return { store: createS3Store(s3.storeOptions()), stop: async () => await s3.stop() };
});

function describeRetention(name: string, missing: string | undefined, open: () => Promise<Place>): void {
  const skip = missing ?? (temporalCli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false);
  describe(
    `anneal gc beside runs on a real server, with a store of ${name}`,
    { skip, timeout: 120_000 },
    () => {
      let place: Place;
      let h: Harness;
      let runs = 0;
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));

      before(async () => {
        place = await open();
        const longAgo = { nowMs: () => Date.now() - LONG_MS };
        const dataConverter = { payloadCodecs: [createPayloadCodec(place.store, longAgo)] };
        h = await startHarness(temporalCli ?? '', { workflowsPath, dataConverter });
        const { isHolderLive: isLive } = createExecutions(h.client);
        h.cache = createStepCache({ store: place.store, clock: { nowMs: () => Date.now() }, isLive });
        h.script = async (request) => {
          if (request.command.join() === 'shared,1') await held;
          return await make(place.store, request);
        };
      });
      after(async () => {
        release();
        await h.close();
        await place.stop();
      });

      const start = async (pipeline: string, parameters: object) =>
        await h.start(pipeline, parameters, `${pipeline}-${name}-${process.pid}-${runs++}`);
      /** A run of long ago, with its record. @returns its execution id and the attempts by step. */
      const runOnce = async (seed: string) => {
        const from = h.attempts.length;
        const handle = await start('once', { seed });
        await handle.result();
        const { workflowId: runId, firstExecutionRunId: executionId = '' } = {
          workflowId: handle.workflowId,
          firstExecutionRunId: (await handle.describe()).runId,
        };
        const record = {
          runId,
          executionId,
          pipeline: 'once',
          project: PROJECT,
          calls: [],
          endedAtMs: Date.now() - LONG_MS,
        };
        await place.store.putBytes(storeKeys.run(executionId), Buffer.from(JSON.stringify(record)));
        const attempt = (step: string) => {
          const request = h.attempts.slice(from).find((one) => one.step === step);
          return request === undefined ? 'none/' : storeKeys.attempt(executionId, nameOf(request));
        };
        return { runId, executionId, source: attempt('source'), shared: attempt('shared') };
      };
      const count = async (prefix: string) => {
        let objects = 0;
        for await (const _object of place.store.list(prefix)) objects++;
        return objects;
      };

      test('removes what nothing uses, and nothing that an open run, a hit or a hold does', async () => {
        const { store } = place;
        const used = await runOnce(SEED);
        const unused = await runOnce('unused');
        const onHold = await runOnce('held');
        const live = await start('chain', { seed: SEED, steps: 2 });
        await until(() => h.attempts.some((one) => one.command.join() === 'shared,1'));
        const orphan = storeKeys.payload(dayOf(Date.now() - LONG_MS), 'e'.repeat(64));
        await store.putBytes(orphan, Buffer.from('x'));
        const payloads = await count('payloads/');
        assert.ok(payloads > 1, 'the seed must have travelled by reference');

        // What was written until here was written long ago. Services tell whole seconds.
        const nowOnMs = Math.ceil(Date.now() / 1_000) * 1_000;
        await until(() => Date.now() >= nowOnMs);
        const retention = createRetention({
          ...{ temporal: h.client, project: PROJECT, store: backdated(store, nowOnMs) },
          ...{ policy: readRetention({ keepLast: 0 }), clock: { nowMs: () => Date.now() } },
          holder: { host: 'here', process: process.pid },
        });
        assert.equal(await retention.hold({ kind: 'run', name: onHold.runId }, { by: 'legal' }), 'added');
        const plan = await retention.plan();
        assert.deepEqual(
          plan.runs.map(({ runId }) => runId).toSorted(),
          [used.runId, unused.runId].toSorted(),
        );
        assert.deepEqual(
          plan.payloads.map(({ key }) => key),
          [orphan],
        );
        assert.ok(plan.generations.length >= 2);

        const atOnce = [0, 1, 2, 3].map(async () => await (await start('once', { seed: 'unused' })).result());
        const [removed, ...uris] = await Promise.all([retention.sweep(plan), ...atOnce]);
        assert.deepEqual(removed.spared, []);
        for (const uri of uris)
          assert.ok(await store.stat(store.keyOf(String(uri))), `${String(uri)} must be there`);
        assert.deepEqual(await Promise.all([used.source, unused.source].map(count)), [0, 0]);
        assert.equal(await count(used.shared), 2);
        assert.equal(await count(onHold.source), 2);
        assert.ok(
          await store.stat(storeKeys.run(used.executionId)),
          'the record stays with what is used of the run',
        );
        assert.equal(await store.stat(orphan), undefined);

        // Without the mark of its hit, the history of the open run alone is enough.
        await store.removeAll(`uses/${used.executionId}/`);
        const again = await retention.plan();
        assert.deepEqual(again.runs, []);
        release();
        await live.result();
        assert.ok((await retention.plan()).runs.some(({ runId }) => runId === used.runId));
      });

      test('refuses a store that was cleaned for another namespace', async () => {
        await place.store.putBytes(
          'gc/owner.json',
          Buffer.from(JSON.stringify({ project: PROJECT, identity: 'other' })),
        );
        const retention = createRetention({
          ...{ temporal: h.client, project: PROJECT, store: place.store },
          ...{
            policy: readRetention(),
            clock: { nowMs: () => Date.now() },
            holder: { host: 'here', process: 1 },
          },
        });
        await assert.rejects(retention.plan(), /another Temporal server or namespace.*TEMPORAL_NAMESPACE/);
      });
    },
  );
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `not in time: ${String(condition)}`);
    await wait(20);
  }
}

function nameOf({ step, callId, attempt }: AttemptRequest): string {
  return `${step}-${callId.slice(0, 12)}-a${attempt}`;
}

/** The attempt's output and manifest are in the store, as a hit looks for them. */
async function make(store: ArtifactStore, request: AttemptRequest): Promise<AttemptOutcome> {
  const outcome = succeeded(request);
  if (outcome.kind !== 'succeeded') return outcome;
  const attemptName = nameOf(request);
  const key = storeKeys.output(request.executionId, attemptName, 'data');
  await store.putBytes(key, Buffer.from('x'));
  await store.putBytes(storeKeys.manifest(request.executionId, attemptName), Buffer.from('{}'));
  const { data } = outcome.outputs;
  assert.ok(data);
  const digest = digestOfText(request.step + request.command.join());
  const startedAtMs = Date.now();
  return {
    ...outcome,
    attemptName,
    startedAtMs,
    outputs: { data: { ...data, uri: store.uriOf(key), digest } },
  };
}

/** A store in which everything that was there before a time is old. */
function backdated(store: ArtifactStore, beforeMs: number): ArtifactStore {
  const age = (object: StoredObject): StoredObject =>
    object.modifiedAtMs < beforeMs ? { ...object, modifiedAtMs: object.modifiedAtMs - LONG_MS } : object;
  return {
    ...store,
    stat: async (key) => {
      const found = await store.stat(key);
      return found && age(found);
    },
    list: async function* (prefix) {
      for await (const object of store.list(prefix)) yield age(object);
    },
  };
}
