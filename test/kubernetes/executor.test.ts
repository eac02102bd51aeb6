import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { commandEndMark } from '../../src/core/command-end-mark.js';
import type { AttemptOutcome } from '../../src/core/attempt.js';
import { AnnealError } from '../../src/core/failures.js';
import { failedWith, recordWatch, succeeded } from '../executor/contract.js';
import { removeDeleted, withExecutor } from './executor-world.js';
import { until } from './kubernetes-world.js';

const killed = (name: string): AttemptOutcome => ({
  kind: 'failed',
  attemptName: name,
  code: 'StepFailed',
  message: 'Step "train" ended with exit code 3.',
  exitCode: 3,
  logTail: ['reading'],
  startedAtMs: 1,
  endedAtMs: 2,
});

describe('an attempt on Kubernetes', () => {
  test('is one Job: two writes, and no question while all goes well', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf({ code: ['train.py'] });
    const { outcome, progress } = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', () => progress.some(({ phase }) => phase === 'running'));
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    assert.deepEqual(succeeded(await outcome).parameters, { rows: 7 });
    await until('its time to live is set', () => world.writes().length === 2);
    assert.deepEqual(world.writes(), ['POST jobs', 'PATCH jobs']);
    assert.deepEqual(world.reads(), []);
    assert.deepEqual(world.shipped, ['build/train']);
    const stored = await world.store.readBytes(storeKeys.launch('execution', launch.name));
    assert.equal((JSON.parse(Buffer.from(stored ?? []).toString()) as { name: string }).name, launch.name);
  });

  test('has ended when its step has, before its pod has', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome } = await world.begin(launch);
    const pod = world.startPod(launch);
    await world.storeManifest(launch);
    world.endPod(pod.name, 0, { phase: 'Running' });
    succeeded(await outcome);
  });

  test('is answered from the store when it has ended', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    await world.storeManifest(launch);
    succeeded(await world.executor.run(launch, recordWatch().watch));
    assert.equal(
      ((await world.executor.find({ name: launch.name, executionId: 'execution' })) as AttemptOutcome).kind,
      'succeeded',
    );
    assert.deepEqual(world.writes(), []);
  });

  test("ends as its pod's agent says, and that is kept", async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome } = await world.begin(launch);
    const pod = world.startPod(launch);
    await world.storePodOutcome(launch, pod.uid, killed(launch.name));
    world.endPod(pod.name, 3);
    assert.equal(failedWith(await outcome, 'StepFailed').exitCode, 3);
    world.server.state.remove('jobs', launch.name);
    assert.equal(failedWith(await world.executor.run(launch, recordWatch().watch), 'StepFailed').exitCode, 3);
  });

  test('ends as Kubernetes says where the store knows nothing, with the last lines', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome } = await world.begin(launch);
    const pod = world.startPod(launch);
    world.server.logs.set(pod.name, 'a\nb\n');
    world.endPod(pod.name, 137, {
      containerStatuses: [{ name: 'main', state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }],
    });
    const failed = failedWith(await outcome, 'OutOfMemory');
    assert.match(failed.message, /^Step "train" ran out of memory \(no limit of its own/);
    assert.deepEqual(failed.logTail, ['a', 'b']);
  });

  test('gives each point of its metrics once, also those of the end', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome, points, until: told } = await world.begin(launch);
    const pod = world.startPod(launch);
    const line = (step: number) => `{"step":${step},"metrics":{"loss":${step}}}\n`;
    await world.storePoints(launch, pod.uid, { number: 0, text: `${line(1)}${line(2)}{"st` });
    await told(() => points.length === 2);
    await world.storePoints(launch, pod.uid, { number: 1, text: `ep":3,"metrics":{"loss":3}}\n` });
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    await outcome;
    assert.deepEqual(
      points.map(({ step }) => step),
      [1, 2, 3],
    );
  });

  test('is uploading from when its command has ended, as its agent says, and how long is told', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome, progress, phases, until: told } = await world.begin(launch);
    const pod = world.startPod(launch);
    await told(() => progress.some(({ phase }) => phase === 'running'));
    const atMs = Date.now() + 60_000;
    await world.storePoints(launch, pod.uid, { number: 0, text: commandEndMark(atMs) });
    await told(() => progress.at(-1)?.phase === 'uploading');
    assert.equal(progress.at(-1)?.sinceMs, atMs);
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    await outcome;
    assert.equal(phases.length, 1);
  });

  test('is adopted by another worker, and left alone by the one that stops', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const first = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', () => first.isRunning());
    first.detach.abort(new Error('worker stops'));
    await assert.rejects(first.outcome, /worker stops/);
    const other = await world.createExecutor();
    assert.equal(await other.find({ name: launch.name, executionId: 'execution' }), 'running');
    const second = await world.begin(launch, other);
    await until('it is seen running', () => second.isRunning());
    assert.equal(second.progress.at(-1)?.adopted, true);
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    succeeded(await second.outcome);
    assert.deepEqual(
      world.writes().filter((write) => write === 'POST jobs'),
      ['POST jobs'],
    );
  });

  test('is created once although the answer is lost', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    world.server.fail({ method: 'POST', resource: 'jobs', answer: 'lost' });
    const { outcome } = await world.begin(launch);
    const pod = world.startPod(launch);
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    succeeded(await outcome);
    assert.equal(world.server.state.list('jobs', () => true).length, 1);
  });

  test('refuses a Job of its name that was made for something else, and leaves it alone', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    world.server.state.put('jobs', { metadata: { name: launch.name }, spec: {} });
    const failed = failedWith(await world.executor.run(launch, recordWatch().watch), 'PodRefused');
    assert.match(failed.message, /was not made for this attempt/);
    assert.deepEqual(world.writes(), ['POST jobs']);
    const changed = world.launchOf();
    await world.begin(changed);
    const other = { ...changed, request: { ...changed.request, parameters: { rate: 2 } } };
    failedWith(await world.executor.run(other, recordWatch().watch), 'PodRefused');
    assert.ok(world.server.state.read('jobs', changed.name));
  });

  test('tells two attempts with one name apart from its own, by what was asked', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const first = await world.begin(launch);
    const again = await world.begin({ ...launch, environment: { MLFLOW_RUN: 'another try' } });
    const pod = world.startPod(launch);
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    succeeded(await first.outcome);
    succeeded(await again.outcome);
  });

  for (const [what, status, message, code, said] of [
    [
      'no right',
      403,
      'jobs.batch is forbidden: User "x" cannot create resource "jobs" in API group "batch"',
      'PodRefused',
      /may not do that in namespace "team-a".*k8s\/base/,
    ],
    [
      'a policy',
      403,
      'admission webhook "policy" denied the request: image is not signed',
      'PodRefused',
      /Kubernetes refuses the Job: .*not signed/,
    ],
    [
      'a value that it does not take',
      422,
      'Job.batch "x" is invalid: spec.template.spec.priorityClassName: no such',
      'PodRefused',
      /is invalid/,
    ],
    [
      'no namespace',
      404,
      'namespaces "team-a" not found',
      'InvalidConfig',
      /Namespace "team-a" does not exist\. Make it, or correct kubernetes\.namespace/,
    ],
  ] as const)
    test(`fails where the cluster has ${what}, and leaves nothing behind`, async (t) => {
      const world = await withExecutor(t);
      world.server.fail({ method: 'POST', resource: 'jobs', answer: { status, message } });
      const failed = failedWith(await world.executor.run(world.launchOf(), recordWatch().watch), code);
      assert.match(failed.message, said);
      assert.match(failed.message, /^Step "train": /);
      assert.deepEqual(
        world.server.state.list('jobs', () => true),
        [],
      );
    });

  test('waits for quota, says so, and goes on', async (t) => {
    const world = await withExecutor(t);
    const message = 'jobs "x" is forbidden: exceeded quota: team, requested: count/jobs.batch=1';
    world.server.fail({ method: 'POST', resource: 'jobs', answer: { status: 403, message } });
    const { outcome, progress } = await world.begin(world.launchOf({}, 'quota-a1'));
    assert.match(progress[0]?.detail ?? '', /^quota: .*exceeded quota: team/);
    assert.equal(progress[0]?.phase, 'queued');
    const launch = world.launchOf({}, 'quota-a1');
    await world.storeManifest(launch);
    world.endPod(world.startPod(launch).name, 0);
    succeeded(await outcome);
  });

  test('does not wait for quota beyond maxPending', async (t) => {
    const world = await withExecutor(t, { placement: { maxPendingMs: 100 } });
    const message = 'jobs "x" is forbidden: exceeded quota: team';
    world.server.fail({ method: 'POST', resource: 'jobs', answer: { status: 403, message } });
    const failed = failedWith(
      await world.executor.run(world.launchOf(), recordWatch().watch),
      'PendingTooLong',
    );
    assert.match(failed.message, /exceeded quota: team.*pools\.local\.maxPending/);
  });

  test('does not wait beyond maxPending for a server that asks for an hour', async (t) => {
    const world = await withExecutor(t, { placement: { maxPendingMs: 100 } });
    const message = 'jobs "x" is forbidden: exceeded quota: team';
    world.server.fail({
      method: 'POST',
      resource: 'jobs',
      answer: { status: 403, message, retryAfter: 3_600 },
    });
    failedWith(await world.executor.run(world.launchOf(), recordWatch().watch), 'PendingTooLong');
    assert.deepEqual(world.writes(), ['POST jobs'], 'and it is not asked again');
  });

  test('says why it waits, and gives up after maxPending with nothing left', async (t) => {
    const world = await withExecutor(t, { placement: { maxPendingMs: 1_000 } });
    const launch = world.launchOf();
    const { outcome, progress } = await world.begin(launch);
    const pod = world.server.addPod(launch.name, {
      phase: 'Pending',
      conditions: [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'Unschedulable',
          message: '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.',
        },
      ],
    });
    await until('it is said', () => progress.some(({ detail }) => detail?.includes('Insufficient') === true));
    await until(
      'its pod is deleted',
      () => world.server.state.read('pods', pod.metadata.name)?.metadata.deletionTimestamp !== undefined,
    );
    world.server.state.remove('pods', pod.metadata.name);
    const failed = failedWith(await outcome, 'PendingTooLong');
    assert.match(failed.message, /0\/1 nodes are available: 1 Insufficient nvidia\.com\/gpu\. Ask for less/);
    assert.deepEqual(
      world.server.state.list('jobs', () => true),
      [],
    );
    const log = Buffer.from(
      (await world.store.readBytes(storeKeys.log('execution', launch.name))) ?? [],
    ).toString();
    assert.match(log, /^PendingTooLong: /);
  });

  test('failed by what it failed by, also where its pod cannot be ended at once', async (t) => {
    const world = await withExecutor(t, { placement: { maxPendingMs: 500 } });
    const launch = world.launchOf();
    world.server.fail({ method: 'DELETE', resource: 'pods', answer: { status: 403, message: 'not now' } });
    const { outcome } = await world.begin(launch);
    const pod = world.server.addPod(launch.name);
    await assert.rejects(outcome, /not now/);
    const identity = { name: launch.name, executionId: 'execution' };
    // It is recorded, and not believed while its pod is there.
    assert.equal(await world.executor.find(identity), 'running');
    const again = world.executor.run(launch, recordWatch().watch);
    await removeDeleted(world, pod.metadata.name);
    failedWith(await again, 'PendingTooLong');
    const known = await world.executor.find(identity);
    assert.ok(typeof known === 'object', String(known));
    failedWith(known, 'PendingTooLong');
  });

  test('is deleted by somebody: the cluster, and the watch, know nothing of it any more', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome, isRunning } = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', isRunning);
    world.server.state.remove('jobs', launch.name);
    world.server.state.remove('pods', pod.name);
    failedWith(await outcome, 'PodDeleted');
  });

  test('is ended with its pod first when it is cancelled', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf({ stopGraceMs: 7_000 });
    const { outcome, cancel, isRunning } = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', isRunning);
    cancel.abort(new Error('cancelled by test'));
    await until(
      'its pod is deleted',
      () => world.server.state.read('pods', pod.name)?.metadata.deletionTimestamp !== undefined,
    );
    await until('its Job is deleted', () => world.server.state.read('jobs', launch.name) === undefined);
    world.server.state.remove('pods', pod.name);
    await assert.rejects(outcome, /cancelled by test/);
    assert.deepEqual(world.writes().slice(1), ['DELETE pods', 'DELETE jobs']);
    const deletion = world.server.requests.find(
      ({ method, resource }) => method === 'DELETE' && resource === 'pods',
    );
    assert.equal((deletion?.body as { gracePeriodSeconds: number }).gracePeriodSeconds, 12);
    failedWith(await world.executor.run(launch, recordWatch().watch), 'AttemptKilled');
  });

  test('does not start any more once it was ended, though a launch is under way', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    await world.executor.end(launch.name, { graceMs: 100, executionId: 'execution' });
    failedWith(await world.executor.run(launch, recordWatch().watch), 'AttemptKilled');
    assert.deepEqual(world.writes(), []);
    // The record appears while the Job is being made: the Job goes again.
    const late = world.launchOf();
    world.server.conduct.delayMs = 50;
    const { outcome } = await world.begin(late);
    await world.executor.end(late.name, { graceMs: 100, executionId: 'execution' });
    failedWith(await outcome, 'AttemptKilled');
    assert.equal(world.server.state.read('jobs', late.name), undefined);
  });

  test('refuses a pool that the worker does not know', async (t) => {
    const world = await withExecutor(t);
    const failed = failedWith(
      await world.executor.run(world.launchOf({ pool: 'gone' }), recordWatch().watch),
      'InvalidConfig',
    );
    assert.match(failed.message, /pool "gone", which is no Kubernetes pool of this worker's anneal\.yaml/);
  });

  test('creates no faster than it may', async (t) => {
    const world = await withExecutor(t, { settings: { image: 'anneal:1', jobsPerSecond: 20 } });
    const launches = Array.from({ length: 30 }, () => world.launchOf());
    const began = performance.now();
    await Promise.all(launches.map(async (launch) => await world.begin(launch)));
    const times = world.server.requests.filter(({ method }) => method === 'POST').map(({ atMs }) => atMs);
    assert.equal(times.length, 30);
    assert.ok(performance.now() - began > 450, 'ten Jobs after the first burst of twenty');
  });

  test('goes on with its second pod while the store is away for a moment', async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), 'anneal-away-'));
    t.after(async () => await rm(root, { recursive: true, force: true }));
    const whole = createFileStore({ root });
    let away = 0;
    const store = {
      ...whole,
      readBytes: async (key: string) => {
        if (away === 0) return await whole.readBytes(key);
        away--;
        throw new AnnealError('StoreUnavailable', 'The artifact store cannot be read.');
      },
    };
    const world = await withExecutor(t, { store });
    const launch = world.launchOf();
    const { outcome, isRunning } = await world.begin(launch);
    const first = world.startPod(launch);
    await until('it runs', isRunning);
    const second = world.startPod(launch);
    away = 3;
    world.server.state.remove('pods', first.name);
    await until('the store was asked in vain', () => away === 0);
    const manifest = {
      version: 1,
      attempt: launch.name,
      outputs: {},
      parameters: {},
      startedAtMs: 1,
      endedAtMs: 2,
    };
    const key = storeKeys.manifest(launch.request.executionId, launch.name);
    await store.putBytes(key, Buffer.from(JSON.stringify(manifest)));
    world.endPod(second.name, 0);
    succeeded(await outcome);
  });

  test('outlives an API server that is away while it runs and ends', async (t) => {
    const world = await withExecutor(t);
    const launch = world.launchOf();
    const { outcome, isRunning } = await world.begin(launch);
    const pod = world.startPod(launch);
    await until('it runs', isRunning);
    await world.server.goAway();
    await world.storeManifest(launch);
    world.endPod(pod.name, 0);
    await world.server.comeBack();
    succeeded(await outcome);
    assert.deepEqual(
      world.writes().filter((write) => write === 'POST jobs'),
      ['POST jobs'],
    );
  });
});
