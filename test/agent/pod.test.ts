import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { sendStoredCommand } from '../../src/adapters/attempt-files/stored-commands.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { readCommandEndMark } from '../../src/core/command-end-mark.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import { UPLOAD_FAILED_EXIT } from '../../src/core/pod-layout.js';
import type { PodLaunch } from '../../src/core/pod-launch.js';
import { stepCodeKeys } from '../../src/core/pod-launch.js';
import { dataset, failedWith, input, output, sh, succeeded } from '../executor/contract.js';
import type { S3Server } from '../store/s3-server.js';
import { s3Program, startS3Server } from '../store/s3-server.js';
import type { LocalPod, PodPrograms, PodWorld } from './local-pod.js';
import { buildPodPrograms, eventually, launchOf, putLaunch, readObject, startPod } from './local-pod.js';
import { readText } from './pod-volume.js';

const isLinux = process.platform === 'linux';
let programs: PodPrograms;
before(async () => {
  if (isLinux) programs = await buildPodPrograms();
});
after(async () => await programs?.remove());

interface Place {
  readonly world: PodWorld;
  stop(): Promise<void>;
}

async function createFilePlace(): Promise<Place> {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-pod-store-'));
  return {
    world: { programs, store: createFileStore({ root }), location: { root }, credentials: {} },
    stop: async () => await rm(root, { recursive: true, force: true }),
  };
}

async function createS3Place(): Promise<Place> {
  const server: S3Server = await startS3Server();
  const options = server.storeOptions();
  const { root } = options;
  return {
    world: {
      programs,
      store: createS3Store(options),
      location: { root, s3: { endpoint: server.endpoint, region: 'us-east-1' } },
      credentials: server.env,
    },
    stop: async () => await server.stop(),
  };
}

describePods('file store', isLinux ? false : 'pods run on Linux', createFilePlace);
describePods(
  'S3',
  !isLinux ? 'pods run on Linux' : s3Program === undefined ? 'no S3 server on this machine' : false,
  createS3Place,
);

function describePods(name: string, skip: string | false, create: () => Promise<Place>): void {
  describe(`a pod without a cluster, ${name}`, { concurrency: 2, skip }, () => {
    let place: Place;
    const pods: LocalPod[] = [];
    before(async () => {
      place = await create();
    });
    after(async () => {
      for (const pod of pods) await pod.remove();
      await place.stop();
    });
    const podOf = async (launch: PodLaunch) => {
      const pod = await startPod(place.world, launch);
      pods.push(pod);
      return pod;
    };
    const prepared = async (request: Partial<AttemptRequest>, more: Partial<PodLaunch> = {}) =>
      await podOf(await putLaunch(place.world.store, request, more));
    const run = async (pod: LocalPod) => {
      assert.equal(await pod.fetch(), 0, pod.complaints());
      await pod.startAgent();
      pod.startMain();
    };
    const finish = async (pod: LocalPod) => {
      await run(pod);
      return await pod.end();
    };

    test('stores outputs, log and manifest of a command that succeeds', async () => {
      const pod = await prepared({
        command: sh(
          'echo out; echo err >&2; mkdir ',
          output('model'),
          '; echo 1 > ',
          output('model'),
          '/a; printf hello > ',
          output('table'),
        ),
        outputs: { model: { type: 'artifact', kind: 'Model' }, table: dataset },
      });
      assert.equal(await finish(pod), 0);
      const outcome = await pod.attemptOutcome();
      assert.ok(outcome);
      const { outputs } = succeeded(outcome);
      assert.equal(
        outputs['table']?.digest,
        '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
      );
      const key = place.world.store.keyOf(outputs['table'].uri);
      assert.equal(key, `${storeKeys.pod(pod.place)}outputs/table`);
      assert.equal(await readObject(place.world.store, key), 'hello');
      assert.equal(await pod.storedLog(), 'out\nerr\n');
      assert.deepEqual(await pod.chunks('logs'), []);
      assert.deepEqual(await pod.outcome(), outcome);
      assert.deepEqual(JSON.parse(await pod.message()), {
        manifest: storeKeys.manifest('execution', pod.place.attemptName),
      });
      assert.equal(pod.complaints(), '');
    });

    test('takes inputs, parameters and code from the store, also what a directory of another pod holds', async () => {
      const { store } = place.world;
      const made = await prepared({
        command: sh(
          'mkdir ',
          output('table'),
          '; echo a > ',
          output('table'),
          '/a; echo b > ',
          output('table'),
          '/b',
        ),
        outputs: { table: dataset },
      });
      await finish(made);
      const manifest = await made.manifest();
      const table = manifest?.outputs['table'];
      assert.ok(table);
      const { files: _files, preview: _preview, ...ref } = table;
      await putCode(place.world, 'run.sh', '#!/bin/sh\ncat "$1/a" "$1/b" "$2"/n.json > "$3"\n');
      const pod = await prepared({
        code: ['run.sh'],
        command: ['./run.sh', [input('table')], 'PARAMETERS', [output('all')]],
        inputs: { table: ref },
        parameters: { n: 3 },
        outputs: { all: dataset },
      });
      await pod.fetch();
      await writeFile(path.join(pod.paths.work, 'PARAMETERS'), '');
      await rm(path.join(pod.paths.work, 'PARAMETERS'));
      await symlink(pod.paths.parameters, path.join(pod.paths.work, 'PARAMETERS'));
      await pod.startAgent();
      pod.startMain();
      assert.equal(await pod.end(), 0, (await pod.log()) ?? '');
      const all = (await pod.manifest())?.outputs['all']?.uri ?? '';
      assert.equal(await readObject(store, store.keyOf(all)), 'a\nb\n3');
    });

    test('records how a command failed, with its last lines', async () => {
      const pod = await prepared({ command: sh('echo almost; echo no more rows; exit 3') });
      assert.equal(await finish(pod), 3);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      const failed = failedWith(outcome, 'StepFailed');
      assert.equal(failed.message, 'Step "step" ended with exit code 3. Its last line was: no more rows.');
      assert.deepEqual([failed.exitCode, failed.logTail], [3, ['almost', 'no more rows']]);
      assert.equal(await pod.message(), failed.message);
      assert.equal(await pod.storedLog(), 'almost\nno more rows\n');
      assert.equal(await pod.manifest(), undefined);
    });

    test('says which program is not in the image', async () => {
      const pod = await prepared({ command: ['no-such-trainer'] });
      assert.equal(await finish(pod), 127);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      assert.match(
        failedWith(outcome, 'CommandNotFound').message,
        /^Step "step": its command "no-such-trainer" is not on the PATH of the image \(.*\)\. Use an image/,
      );
    });

    test('ends a command at its time limit', async () => {
      const pod = await prepared({ command: sh('echo begun; sleep 60'), timeoutMs: 500 });
      assert.equal(await finish(pod), 143);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      failedWith(outcome, 'StepTimedOut');
    });

    test('an output that is missing fails the attempt, and the container ends with 0', async () => {
      const pod = await prepared({ command: ['true'], outputs: { table: dataset } });
      assert.equal(await finish(pod), 0);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      failedWith(outcome, 'OutputMissing');
    });

    test('of a container that is killed whole, the log and the checkpoints are kept, and nothing is judged', async () => {
      const launch = await putLaunch(place.world.store, {
        command: sh(
          'cd "$ANNEAL_CHECKPOINT_DIR"; [ ! -e c1 ] || { cat c1; exit 0; }; echo one > c1.tmp; mv c1.tmp c1; echo saved; sleep 60',
        ),
      });
      const pod = await podOf(launch);
      await run(pod);
      await pod.hasLogged('saved');
      await pod.killMain();
      assert.equal(await pod.end(), 'SIGKILL');
      assert.equal(await pod.outcome(), undefined);
      assert.equal(await pod.attemptOutcome(), undefined);
      assert.deepEqual((await pod.chunks('logs')).join(''), 'saved\n');
      const second = await podOf(launch);
      assert.equal(await finish(second), 0);
      const outcome = await second.attemptOutcome();
      assert.ok(outcome);
      succeeded(outcome);
      assert.equal(
        (await second.chunks('logs')).join(''),
        `anneal: restored checkpoint "c1" of ${launch.name}\none\n`,
      );
    });

    test('an agent that is killed while the command runs goes on without gaps or doubles', async () => {
      const pod = await prepared({
        command: sh(
          'i=0; while [ ! -e "$VOLUME/go" ]; do i=$((i+1)); echo "line $i"; printf \'{"step": %d, "metrics": {"loss": 1}}\\n\' $i >> "$ANNEAL_METRICS_STREAM"; sleep 0.05; done; echo last > ',
          output('table'),
        ),
        outputs: { table: dataset },
      });
      await run(pod);
      let killed = 0;
      for (let seen = 0; killed < 3; killed++) {
        await eventually('new pieces', async () => (await pod.chunks('logs')).length > seen);
        seen = (await pod.chunks('logs')).length;
        await pod.killAgent();
      }
      await writeFile(`${pod.paths.root}/go`, '');
      assert.equal(await pod.end(), 0);
      const lines = (await pod.storedLog())?.trimEnd().split('\n') ?? [];
      assert.deepEqual(
        lines,
        lines.map((_, i) => `line ${i + 1}`),
      );
      const pieces = await pod.chunks('metrics');
      assert.ok(readCommandEndMark(pieces.pop() ?? ''), 'the last piece says when the command ended');
      const points = pieces.join('').trimEnd().split('\n');
      assert.equal(points.length, lines.length);
      assert.equal(new Set(points).size, points.length);
      const outcome = await pod.attemptOutcome();
      assert.ok(outcome);
      succeeded(outcome);
    });

    test('commands of people reach the command, also after its agent was killed, and are answered', async () => {
      const pod = await prepared({
        takesCommands: true,
        command: sh(
          'cd "$ANNEAL_COMMANDS_DIR"; echo begun; until [ -e 000001-rate.json ]; do sleep 0.05; done; sleep 1; ',
          'trap handled=1 USR1; until [ "$handled" ]; do sleep 0.05; done; ls; ',
          'echo \'{"epoch": 3}\' > a.tmp; mv a.tmp 000001.answer.json; ',
          'until [ -e 000002-stop.json ]; do sleep 0.05; done',
        ),
      });
      await run(pod);
      await pod.hasLogged('begun');
      const inbox = {
        store: place.world.store,
        place: { executionId: 'execution', name: pod.place.attemptName },
      };
      const send = async (id: string, command: string, withinMs: number) =>
        await sendStoredCommand(inbox, {
          command: { id, command, parameters: { rate: 1 }, by: 'ana', atMs: 1, signal: 'SIGUSR1' },
          withinMs,
          nowMs: () => Date.now(),
          signal: new AbortController().signal,
        });
      const answer = { state: 'answered', number: 1, answer: { epoch: 3 } };
      assert.deepEqual(await send('first', 'rate', 20_000), answer);
      assert.deepEqual(await send('first', 'rate', 0), answer);
      await pod.killAgent();
      assert.deepEqual(await send('second', 'stop', 20_000), { state: 'delivered', number: 2 });
      assert.equal(await pod.end(), 0);
      assert.equal(await pod.log(), 'begun\n000001-rate.json');
      assert.deepEqual(await send('third', 'stop', 20_000), { state: 'ended' });
      assert.equal(
        await readObject(
          place.world.store,
          `${storeKeys.commands('execution', inbox.place.name)}third.asked.json`,
        ),
        undefined,
      );
    });

    test('an agent that is killed while it uploads is followed by one that stores everything', async () => {
      const pod = await prepared({
        command: sh(
          'mkdir ',
          output('table'),
          '; cd ',
          output('table'),
          '; for i in $(seq 300); do echo $i > $i; done',
        ),
        outputs: { table: dataset },
      });
      await run(pod);
      const prefix = `${storeKeys.pod(pod.place)}outputs/`;
      await eventually('an upload has begun', async () => {
        for await (const _ of place.world.store.list(prefix)) return true;
        return false;
      });
      await pod.killAgent();
      assert.equal(await pod.manifest(), undefined);
      assert.equal(await pod.end(), 0);
      assert.equal((await pod.manifest())?.outputs['table']?.files.length, 300);
    });

    test('stops with everything when its pod is told to end, after a last checkpoint, and nothing is judged', async () => {
      const pod = await prepared({
        command: sh(
          'trap \'echo end > "$ANNEAL_CHECKPOINT_DIR/last.tmp"; mv "$ANNEAL_CHECKPOINT_DIR/last.tmp" "$ANNEAL_CHECKPOINT_DIR/last"; exit 0\' TERM; echo ready; while :; do sleep 0.05; done',
        ),
      });
      await run(pod);
      await pod.hasLogged('ready');
      pod.terminate();
      assert.equal(await pod.end(), 0);
      assert.equal(await pod.outcome(), undefined);
      const saved: string[] = [];
      for await (const { key } of place.world.store.list(
        storeKeys.checkpoints('execution', pod.place.attemptName),
      ))
        saved.push(key);
      assert.ok(
        saved.some((key) => key.endsWith('-last/checkpoint.json')),
        saved.join('\n'),
      );
    });

    test('is given nothing to run when its attempt had ended before it began', async () => {
      const pod = await prepared({ command: ['true'] });
      const { executionId, attemptName } = pod.place;
      const ended = { kind: 'failed', attemptName, code: 'AttemptKilled', message: 'stopped', logTail: [] };
      const key = `${storeKeys.attempt(executionId, attemptName)}outcome.json`;
      await place.world.store.putBytes(key, Buffer.from(JSON.stringify(ended)));
      assert.equal(await pod.fetch(), 1);
      assert.match((await pod.message()) ?? '', /its attempt had ended before this pod began/);
    });

    test('runs nothing when its attempt has ended while it waited for its image', async () => {
      const pod = await prepared({ command: sh('echo ran') });
      assert.equal(await pod.fetch(), 0);
      await pod.startAgent();
      const { executionId, attemptName } = pod.place;
      const ended = { kind: 'failed', attemptName, code: 'AttemptKilled', message: 'stopped', logTail: [] };
      const key = `${storeKeys.attempt(executionId, attemptName)}outcome.json`;
      await place.world.store.putBytes(key, Buffer.from(JSON.stringify(ended)));
      await eventually('the agent knows', async () => (await readText(pod.paths.over)) !== undefined);
      pod.startMain();
      assert.equal(await pod.end(), 143);
      assert.equal(await pod.log(), '');
      assert.equal(await pod.outcome(), undefined);
    });

    test('says why what the command needs could not be fetched', async () => {
      const missing = place.world.store.uriOf('runs/none/attempts/a/outputs/table');
      const pod = await prepared({
        command: ['true'],
        inputs: {
          table: { kind: 'Dataset', uri: missing, digest: 'x', sizeBytes: 1, form: 'file', values: {} },
        },
      });
      assert.equal(await pod.fetch(), 1);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      assert.equal(`InputMissing: ${failedWith(outcome, 'InputMissing').message}`, await pod.message());
    });

    test('says so where it does not know yet whose pod it is', async () => {
      const pod = await podOf(launchOf({ command: ['true'] }));
      assert.equal(await pod.fetch(), 1);
      assert.match(
        (await pod.message()) ?? '',
        /^InputMissing: what its pod is to do is not in the store \(.+\)\. Start a new run\.$/,
      );
    });

    test('a fault of our own program is not tried again', async () => {
      const pod = await prepared({ command: ['true'], inputs: { table: null as never } });
      assert.equal(await pod.fetch(), 1);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      assert.match(
        failedWith(outcome, 'InvalidConfig').message,
        /^Step "step": Anneal's own program in container "fetch" of its pod broke off \(TypeError: .*kubernetes\.image/,
      );
    });

    test('a symlink to what only the agent may read is never followed', async () => {
      const secret = await mkdtemp(path.join(tmpdir(), 'anneal-pod-secret-'));
      await writeFile(path.join(secret, 'output.log'), 'TOKEN');
      await writeFile(path.join(secret, 'c'), 'TOKEN');
      const pod = await prepared({
        takesCommands: true,
        command: sh(
          `cd "$VOLUME"; rm -r logs checkpoints commands; for name in logs checkpoints commands; do ln -s ${secret} $name; done; sleep 0.7; exit 4`,
        ),
      });
      assert.equal(await finish(pod), 4);
      const found: string[] = [];
      for await (const { key } of place.world.store.list(
        storeKeys.attempt('execution', pod.place.attemptName),
      ))
        if (((await readObject(place.world.store, key)) ?? '').includes('TOKEN')) found.push(key);
      for await (const { key } of place.world.store.list(
        storeKeys.checkpoints('execution', pod.place.attemptName),
      ))
        found.push(key);
      await rm(secret, { recursive: true });
      assert.deepEqual(found, []);
      const outcome = await pod.outcome();
      assert.ok(outcome);
      failedWith(outcome, 'StepFailed');
    });
  });
}

describe('a pod whose store goes away', { skip: isLinux ? false : 'pods run on Linux' }, () => {
  const away = async (uploadTimeoutMs: number) => {
    const place = await createFilePlace();
    const launch = await putLaunch(
      place.world.store,
      {
        command: sh('until [ -e $VOLUME/go ]; do sleep 0.02; done; echo 1 > ', output('table')),
        outputs: { table: dataset },
      },
      { uploadTimeoutMs },
    );
    const pod = await startPod(place.world, launch);
    assert.equal(await pod.fetch(), 0);
    await pod.startAgent();
    pod.startMain();
    const { root } = place.world.location;
    await rename(root, `${root}.away`);
    await writeFile(root, '');
    await writeFile(`${pod.paths.root}/go`, '');
    await eventually('the exit code', async () => (await readText(pod.paths.exit)) !== undefined);
    const back = async () => {
      await rm(root);
      await rename(`${root}.away`, root);
    };
    const stop = async () => {
      await pod.remove();
      await place.stop();
    };
    return { pod, back, stop };
  };

  test('waits for it, and stores everything when it is back', async () => {
    const { pod, back, stop } = await away(30_000);
    assert.equal(await readText(pod.paths.done), undefined);
    await back();
    assert.equal(await pod.end(), 0);
    assert.ok(await pod.manifest());
    await stop();
  });

  test('ends with 97 and says why when it stays away', async () => {
    const { pod, back, stop } = await away(1_000);
    assert.equal(await pod.end(), UPLOAD_FAILED_EXIT);
    assert.match(
      await pod.message(),
      /^Step "step": its outputs could not be stored: The artifact store cannot/,
    );
    await back();
    assert.equal(await pod.attemptOutcome(), undefined);
    await stop();
  });

  test('is let go when agents have died one after the other long after the command has ended', async () => {
    const { pod, back, stop } = await away(30_000);
    const long = new Date(Date.now() - 3_600_000);
    await utimes(pod.paths.exit, long, long);
    await writeFile(pod.paths.lateAgents, '3');
    await pod.killAgent();
    await back();
    assert.equal(await pod.end(), UPLOAD_FAILED_EXIT);
    assert.match(await pod.message(), /the agent was ended again and again/);
    await stop();
  });

  test('is let go by an agent that starts long after the command has ended', async () => {
    const { pod, back, stop } = await away(30_000);
    const long = new Date(Date.now() - 3_600_000);
    await utimes(pod.paths.exit, long, long);
    await pod.killAgent();
    assert.equal(await pod.end(), UPLOAD_FAILED_EXIT);
    await back();
    await stop();
  });
});

async function putCode({ store }: PodWorld, file: string, text: string): Promise<void> {
  const prefix = storeKeys.stepCode('build', 'step');
  const folder = await mkdtemp(path.join(tmpdir(), 'anneal-pod-code-'));
  await writeFile(path.join(folder, file), text);
  const entry = await store.putFile(stepCodeKeys.file(prefix, file), path.join(folder, file));
  await store.putBytes(
    stepCodeKeys.list(prefix),
    Buffer.from(JSON.stringify({ version: 1, files: [{ ...entry, path: file, executable: true }] })),
  );
  assert.equal(await readFile(path.join(folder, file), 'utf8'), text);
  await rm(folder, { recursive: true });
}
