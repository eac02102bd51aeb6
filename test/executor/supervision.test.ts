import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import {
  attemptLogPath,
  attemptPaths,
  readJson,
  writeJson,
} from '../../src/adapters/process-executor/attempt-directory.js';
import type { AttemptSpec, CommandRecord } from '../../src/adapters/process-executor/attempt-spec.js';
import { listCheckpoints } from '../../src/adapters/process-executor/checkpoint-store.js';
import { createProcessExecutor } from '../../src/adapters/process-executor/create-process-executor.js';
import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import type { ProcessExecutorDeps } from '../../src/adapters/process-executor/executor-deps.js';
import { toBytes } from '../../src/adapters/process-executor/stored-outcome.js';
import type { ProcessIdentity } from '../../src/adapters/process-identity.js';
import { isSameProcess, readProcessIdentity } from '../../src/adapters/process-identity.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { AttemptOutcome } from '../../src/core/attempt.js';
import { bundleProgram } from './bundle-program.js';
import { buildLaunch, dataset, failedWith, output, recordWatch, sh, succeeded } from './contract.js';
import type { WorkerInput } from './fixtures/worker.js';

const TIMEOUT_MS = 15_000;
/** Waits for a condition; a condition that never holds is a failed test. */
const eventually = async (what: string, check: () => Promise<boolean>) =>
  assert.ok(await waitUntil(check, TIMEOUT_MS), `${what} within ${TIMEOUT_MS} ms`);

describe('process executor: supervision', { concurrency: 3 }, () => {
  let root: string;
  let attemptsDir: string;
  let supervisorPath: string;
  let workerPath: string;
  let store: ReturnType<typeof createFileStore>;
  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'anneal-supervision-'));
    attemptsDir = path.join(root, 'attempts');
    await mkdir(attemptsDir);
    store = createFileStore({ root: path.join(root, 'store') });
    [supervisorPath, workerPath] = await Promise.all([
      bundleProgram('../../src/agent/supervisor.ts'),
      bundleProgram('./fixtures/worker.ts'),
    ]);
  });
  after(async () => {
    const left = await readdir(attemptsDir);
    // A test that failed may have left its attempt running.
    for (const name of left) await createExecutor().end(name, { graceMs: 0, executionId: 'execution' });
    for (const folder of [root, path.dirname(supervisorPath), path.dirname(workerPath)])
      await rm(folder, { recursive: true, force: true });
    assert.deepEqual(left, []);
  });

  const createExecutor = (more: Partial<ProcessExecutorDeps> = {}) =>
    createProcessExecutor({
      store,
      attemptsDir,
      buildsDir: path.join(root, 'builds'),
      supervisorPath,
      clock: { nowMs: () => Date.now() },
      ensurePython: () => Promise.reject(new Error('no Python in this test')),
      gpus: { leasesDir: path.join(root, 'gpus'), discover: () => Promise.resolve([]) },
      env: process.env,
      checkpointSettleMs: 60_000,
      ...more,
    });
  const pathsOf = (launch: AttemptLaunch) => attemptPaths(attemptsDir, launch.name);
  const readOutput = async (outcome: AttemptOutcome, name: string) =>
    Buffer.from(
      (await store.readBytes(store.keyOf(succeeded(outcome).outputs[name]?.uri ?? ''))) ?? [],
    ).toString();
  const readSupervisor = async (launch: AttemptLaunch) => {
    const identity = await readJson<ProcessIdentity>(pathsOf(launch).supervisor);
    assert.ok(identity);
    return identity;
  };
  const readCommand = async (launch: AttemptLaunch) => {
    let record: CommandRecord | undefined;
    await eventually('the command runs', async () => {
      record = await readJson<CommandRecord>(pathsOf(launch).command);
      return record !== undefined;
    });
    assert.ok(record);
    return record.identity;
  };
  const hasLogged = (launch: AttemptLaunch, text: string) =>
    eventually(`"${text}" in the log`, async () =>
      (await readFile(attemptLogPath(attemptsDir, launch.name), 'utf8').catch(() => '')).includes(text),
    );
  /** Counts executions in `count`, then waits for `go`. */
  const countAndWait = (launchName: string) =>
    sh(
      `echo once >> ${path.join(root, launchName)}.count; echo begun; until [ -e ${path.join(root, launchName)}.go ]; do sleep 0.05; done; cp ${path.join(root, launchName)}.count `,
      output('count'),
    );
  const letGo = (launch: AttemptLaunch) => writeFile(path.join(root, `${launch.name}.go`), '');
  const counted = (name: string) =>
    buildLaunch({ command: countAndWait(name), outputs: { count: dataset } }, name);

  test('adopts an attempt whose worker was killed together with its process group, and runs it once', async () => {
    const launch = counted('killed-worker');
    const input: WorkerInput = { storeRoot: path.join(root, 'store'), attemptsDir, supervisorPath, launch };
    const worker = spawn(process.execPath, [workerPath, JSON.stringify(input)], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: worker.stdout })) if (line === 'running') break;
    await hasLogged(launch, 'begun');
    process.kill(-(worker.pid ?? 0), 'SIGKILL');
    await once(worker, 'exit');
    const recorded = recordWatch();
    const adopted = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    assert.equal(recorded.progress.at(-1)?.adopted, true);
    await letGo(launch);
    assert.equal(await readOutput(await adopted, 'count'), 'once\n');
  });

  test('runs one name once when many workers ask at the same time', async () => {
    const launch = counted('race');
    const outcomes = Array.from({ length: 4 }, () => createExecutor().run(launch, recordWatch().watch));
    await hasLogged(launch, 'begun');
    await letGo(launch);
    for (const outcome of await Promise.all(outcomes))
      assert.equal(await readOutput(outcome, 'count'), 'once\n');
  });

  test('ends the command of a killed supervisor, saves its checkpoint and says that the attempt was lost', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; trap "echo 2 > s.tmp; sleep 0.05; mv s.tmp s2; exit 1" TERM; echo 1 > s.tmp; mv s.tmp s1; echo half > loose; echo begun; while :; do sleep 0.05; done';
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    await hasLogged(launch, 'begun');
    await eventually(
      'the rename is noticed',
      async () => (await readJson<string[]>(pathsOf(launch).renamedCheckpoints))?.includes('s') === true,
    );
    const command = await readCommand(launch);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    const failed = failedWith(await running, 'AttemptLost');
    assert.match(failed.message, /its supervisor \(process \d+\) disappeared without an outcome/);
    assert.equal(failed.logTail[0], 'begun');
    assert.equal(await isSameProcess(command), false);
    const next = buildLaunch({
      callId: launch.request.callId,
      attempt: 2,
      command: sh('ls "$ANNEAL_CHECKPOINT_DIR" > ', output('found')),
      outputs: { found: dataset },
    });
    assert.equal(await readOutput(await createExecutor().run(next, recordWatch().watch), 'found'), 's2\n');
  });

  test('does not take a file for a checkpoint that a dead command left half-written', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > s.tmp; sleep 0.05; mv s.tmp s1; echo half > loose; echo begun; sleep 60';
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await hasLogged(launch, 'begun');
    await eventually(
      's1 is stored',
      async () => (await listCheckpoints(store, launch.request))[0]?.entry === 's1',
    );
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    process.kill(-(await readCommand(launch)).pid, 'SIGKILL');
    // As for a worker that comes back much later.
    const { spec } = pathsOf(launch);
    await writeJson(spec, { ...(await readJson<AttemptSpec>(spec)), checkpointSettleMs: 0 });
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'AttemptLost');
    assert.deepEqual(
      (await listCheckpoints(store, launch.request)).map(({ entry }) => entry),
      ['s1'],
    );
  });

  test('stores the checkpoint of a stop whose supervisor abandoned it, and counts a manifest first', async () => {
    const script =
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > s.tmp; sleep 0.05; mv s.tmp s1; echo begun; until [ -e ../stopped ]; do sleep 0.05; done; echo 2 > s.tmp; sleep 0.05; mv s.tmp s2; kill -9 $PPID; exit 0';
    const launch = buildLaunch({ command: ['sh', '-c', script] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await hasLogged(launch, 'begun');
    await eventually(
      's1 is stored',
      async () => (await listCheckpoints(store, launch.request))[0]?.entry === 's1',
    );
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    const paths = pathsOf(launch);
    const supervisor = await readSupervisor(launch);
    // What an abandoning supervisor leaves: a result, and a checkpoint that is not stored.
    await writeFile(path.join(paths.directory, 'stopped'), '');
    await eventually('the supervisor is gone', async () => !(await isSameProcess(supervisor)));
    const outcome = { kind: 'failed', attemptName: launch.name, code: 'AttemptKilled', message: 'stopped' };
    const times = { logTail: [], startedAtMs: 1, endedAtMs: 2 };
    await writeJson(paths.result, { outcome: { ...outcome, ...times }, stopped: 'request' });
    const manifest = { version: 1, attempt: launch.name, outputs: {}, parameters: { a: 1 }, ...times };
    await store.putBytes(storeKeys.manifest('execution', launch.name), toBytes(manifest));
    assert.deepEqual(succeeded(await createExecutor().run(launch, recordWatch().watch)).parameters, { a: 1 });
    assert.deepEqual(
      (await listCheckpoints(store, launch.request)).map(({ entry, sequence }) => [entry, sequence]),
      [
        ['s2', 2],
        ['s1', 1],
      ],
    );
  });

  test('counts a manifest in the store before the death of the supervisor', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const manifest = {
      version: 1,
      attempt: launch.name,
      outputs: {},
      parameters: { a: 1 },
      startedAtMs: 1,
      endedAtMs: 2,
    };
    await store.putBytes(storeKeys.manifest('execution', launch.name), toBytes(manifest));
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    assert.deepEqual(succeeded(await running).parameters, { a: 1 });
  });

  test('ends what the command left behind', async () => {
    const launch = buildLaunch({
      command: sh('sleep 60 & echo $! > ', output('pid')),
      outputs: { pid: dataset },
    });
    const outcome = await createExecutor().run(launch, recordWatch().watch);
    assert.equal(await readProcessIdentity(Number(await readOutput(outcome, 'pid'))), undefined);
  });

  const STRAY =
    'const child = require("node:child_process").spawn("sleep", ["60"], { detached: true, stdio: "ignore" }); console.log(`stray ${child.pid}`);';
  const readStray = async (launch: AttemptLaunch) => {
    await hasLogged(launch, 'stray ');
    const log = await readFile(attemptLogPath(attemptsDir, launch.name), 'utf8');
    const stray = await readProcessIdentity(Number(/stray (\d+)/.exec(log)?.[1]));
    assert.ok(stray);
    return stray;
  };

  test('ends processes that left the group of a command that is stopped', async () => {
    const launch = buildLaunch({ command: [process.execPath, '-e', STRAY] });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    const stray = await readStray(launch);
    recorded.cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    assert.equal(await isSameProcess(stray), false);
  });

  test('ends processes that left the group of a command whose supervisor was killed', async () => {
    const launch = buildLaunch({ command: [process.execPath, '-e', STRAY] });
    const running = createExecutor().run(launch, recordWatch().watch);
    const stray = await readStray(launch);
    process.kill((await readSupervisor(launch)).pid, 'SIGKILL');
    failedWith(await running, 'AttemptLost');
    assert.equal(await isSameProcess(stray), false);
  });

  test('ends an attempt that no worker watches', async () => {
    const launch = buildLaunch({ command: ['sleep', '60'] });
    const executor = createExecutor({ unclaimedMs: 600 });
    const recorded = recordWatch();
    const left = executor.run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const [supervisor, command] = [await readSupervisor(launch), await readCommand(launch)];
    recorded.detach.abort(new Error('gone'));
    await assert.rejects(left, /gone/);
    await eventually(
      'supervisor and command are gone',
      async () => !(await isSameProcess(supervisor)) && !(await isSameProcess(command)),
    );
    assert.match(
      failedWith(await executor.run(launch, recordWatch().watch), 'AttemptLost').message,
      /no worker had watched it for 600ms/,
    );
  });

  test('leaves an attempt alone that a worker watches', async () => {
    const launch = counted('claimed');
    const running = createExecutor({ unclaimedMs: 800 }).run(launch, recordWatch().watch);
    await hasLogged(launch, 'begun');
    const { startedAtMs } = (await readJson<CommandRecord>(pathsOf(launch).command)) ?? { startedAtMs: 0 };
    await eventually('three times the limit is over', () =>
      Promise.resolve(Date.now() - startedAtMs > 2_400),
    );
    await letGo(launch);
    succeeded(await running);
  });

  test('verifies that a cancelled attempt is gone, even one that ignores SIGTERM', async () => {
    const launch = buildLaunch({
      command: sh('trap "" TERM; echo begun; while :; do sleep 0.05; done'),
      stopGraceMs: 300,
    });
    const recorded = recordWatch();
    const running = createExecutor().run(launch, recorded.watch);
    await hasLogged(launch, 'begun');
    const processes = [await readSupervisor(launch), await readCommand(launch)];
    recorded.cancel.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
    for (const one of processes) assert.equal(await isSameProcess(one), false);
    assert.ok((await store.stat(storeKeys.log('execution', launch.name)))?.sizeBytes);
  });

  test('ends an attempt whose supervisor gets SIGTERM', async () => {
    const asked = buildLaunch({ command: ['sleep', '60'] });
    const first = createExecutor().run(asked, recordWatch().watch);
    await eventually('the command runs', async () => (await readJson(pathsOf(asked).command)) !== undefined);
    process.kill((await readSupervisor(asked)).pid, 'SIGTERM');
    assert.match(failedWith(await first, 'AttemptKilled').message, /its supervisor was told to end/);
  });

  test('ends a name that was never launched, and one that was only prepared', async () => {
    await createExecutor().end('never', { graceMs: 0, executionId: 'execution' });
    const launch = buildLaunch({ command: ['sleep', '60'] });
    // A worker that dies between the preparation and the start of a supervisor leaves this.
    const stuck = createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') });
    const recorded = recordWatch();
    const running = stuck.run(launch, recorded.watch);
    await eventually(
      'the directory is there',
      async () => (await readJson(pathsOf(launch).spec)) !== undefined,
    );
    await createExecutor().end(launch.name, { graceMs: 0, executionId: 'execution' });
    const outcome = await running;
    assert.ok(outcome.kind === 'failed' && ['AttemptKilled', 'AttemptLost'].includes(outcome.code));
  });

  test('starts nothing under a name that was ended while its Python environment was made', async () => {
    const started = path.join(root, 'started-after-end');
    const launch = buildLaunch({ command: ['touch', started], python: { requirements: 'r.txt' } });
    const [asked, made] = [new AbortController(), new AbortController()];
    const ensurePython = async () => {
      asked.abort();
      await once(made.signal, 'abort');
      return { bin: '/usr/bin' };
    };
    const running = createExecutor({ ensurePython }).run(launch, recordWatch().watch);
    if (!asked.signal.aborted) await once(asked.signal, 'abort');
    await createExecutor().end(launch.name, { graceMs: 0, executionId: 'execution' });
    made.abort();
    assert.match(failedWith(await running, 'AttemptKilled').message, /stopped on request before it began/);
    await assert.rejects(readFile(started), { code: 'ENOENT' });
  });

  test('ends nobody else when the end of an attempt that nobody supervises is tried again', async () => {
    const launch = buildLaunch({});
    const watch = recordWatch();
    const stuck = createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') });
    const running = stuck.run(launch, watch.watch);
    await eventually(
      'the directory is there',
      async () => (await readJson(pathsOf(launch).spec)) !== undefined,
    );
    watch.detach.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    const away = {
      ...store,
      putFile: () => Promise.reject(new Error('the store is away')),
      putBytes: () => Promise.reject(new Error('the store is away')),
    };
    const options = { graceMs: 0, executionId: 'execution' };
    await assert.rejects(createExecutor({ store: away }).end(launch.name, options), /the store is away/);
    assert.equal(await isSameProcess(await readSupervisor(launch)), false);
    await createExecutor().end(launch.name, options);
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'AttemptKilled');
  });

  test('says so when a supervisor cannot be started', async () => {
    const launch = buildLaunch({});
    const outcome = await createExecutor({ supervisorPath: path.join(root, 'no-such-supervisor.js') }).run(
      launch,
      recordWatch().watch,
    );
    assert.match(failedWith(outcome, 'AttemptLost').message, /its supervisor did not start in 3 tries/);
  });

  test('gives MLflow credentials to tracked steps alone, and only where a secret for them is named', async () => {
    const env = {
      ...process.env,
      ANNEAL_SECRET_MLFLOW_STEPS_USERNAME: 'steps',
      ANNEAL_SECRET_MLFLOW_STEPS_PASSWORD: 'from-env',
      MLFLOW_TRACKING_USERNAME: 'worker',
      MLFLOW_TRACKING_PASSWORD: 'worker',
    };
    const seen = async (mlflowSecret: string | undefined, tracked: boolean) => {
      const launch = buildLaunch({
        command: sh('env | grep ^MLFLOW_TRACKING | sort > ', output('env'), '; true'),
        outputs: { env: dataset },
        ...(tracked ? { tracking: { experimentId: '1', parentRunId: 'p' } } : {}),
      });
      const executor = createExecutor({ env, ...(mlflowSecret === undefined ? {} : { mlflowSecret }) });
      return await readOutput(await executor.run(launch, recordWatch().watch), 'env');
    };
    assert.equal(
      await seen('mlflow-steps', true),
      'MLFLOW_TRACKING_PASSWORD=from-env\nMLFLOW_TRACKING_USERNAME=steps\n',
    );
    assert.equal(await seen('mlflow-steps', false), '');
    assert.equal(await seen(undefined, true), '');
  });

  test('gives the command an environment of its own, with the secrets that it names and no others', async () => {
    const secretsFile = path.join(root, 'secrets.yaml');
    await writeFile(secretsFile, 'db:\n  password: from-file\n');
    await chmod(secretsFile, 0o600);
    const env = {
      ...process.env,
      ANNEAL_SECRET_HUB_TOKEN: 'from-env',
      ANNEAL_SECRET_OTHER_KEY: 'other',
      AWS_SECRET_ACCESS_KEY: 'aws',
      NODE_OPTIONS: '',
      LC_ALL: 'C',
    };
    const launch = buildLaunch({
      env: {
        TOKEN: { secret: { name: 'hub', key: 'token' } },
        PASSWORD: { secret: { name: 'db', key: 'password' } },
        PLAIN: 'a $b "c"',
      },
      command: sh(
        'echo begun; env | sort > ',
        output('env'),
        '; pwd > ',
        output('cwd'),
        '; grep -r from- .. > ',
        output('leaks'),
        '; true',
      ),
      outputs: { env: dataset, cwd: dataset },
    });
    const outcome = await createExecutor({ env, secretsFile }).run(
      { ...launch, environment: { TRACEPARENT: '00-1' } },
      recordWatch().watch,
    );
    const found = new Map(
      (await readOutput(outcome, 'env'))
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
    );
    const { directory } = pathsOf(launch);
    assert.deepEqual(
      [found.get('TOKEN'), found.get('PASSWORD'), found.get('PLAIN'), found.get('TRACEPARENT')],
      ['from-env', 'from-file', 'a $b "c"', '00-1'],
    );
    for (const name of [
      'ANNEAL_SECRET_HUB_TOKEN',
      'ANNEAL_SECRET_OTHER_KEY',
      'AWS_SECRET_ACCESS_KEY',
      'NODE_OPTIONS',
    ])
      assert.equal(found.has(name), false, name);
    for (const name of [
      'HOME',
      'TMPDIR',
      'ANNEAL_CHECKPOINT_DIR',
      'ANNEAL_METRICS_STREAM',
      'ANNEAL_PARAMETERS_DIR',
    ])
      assert.ok(found.get(name)?.startsWith(`${directory}/`), name);
    assert.deepEqual(
      [found.get('ANNEAL_RUN_ID'), found.get('ANNEAL_STEP'), found.get('ANNEAL_ATTEMPT')],
      ['run/1', 'step', '1'],
    );
    assert.deepEqual(
      [found.get('CUDA_VISIBLE_DEVICES'), found.get('PYTHONUNBUFFERED'), found.get('LC_ALL')],
      ['', '1', 'C'],
    );
    assert.equal((await readOutput(outcome, 'cwd')).trim(), path.join(directory, 'work'));
  });

  test('keeps secrets out of every file of the attempt', async () => {
    const env = { ...process.env, ANNEAL_SECRET_HUB_TOKEN: 'very-secret' };
    const launch = buildLaunch({
      env: { TOKEN: { secret: { name: 'hub', key: 'token' } } },
      command: ['sleep', '60'],
    });
    const recorded = recordWatch();
    const running = createExecutor({ env }).run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const { directory } = pathsOf(launch);
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
      if (entry.isFile())
        assert.ok(
          !(await readFile(path.join(entry.parentPath, entry.name), 'utf8')).includes('very-secret'),
          entry.name,
        );
    recorded.cancel.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
  });

  test('refuses a secret that is missing, and a secrets file that others may read', async () => {
    const launch = buildLaunch({ env: { TOKEN: { secret: { name: 'hub', key: 'token' } } } });
    assert.match(
      failedWith(await createExecutor().run(launch, recordWatch().watch), 'SecretMissing').message,
      /Set ANNEAL_SECRET_HUB_TOKEN/,
    );
    const secretsFile = path.join(root, 'open.yaml');
    await writeFile(secretsFile, 'hub: { token: x }', { mode: 0o644 });
    assert.match(
      failedWith(await createExecutor({ secretsFile }).run(launch, recordWatch().watch), 'InvalidConfig')
        .message,
      /chmod 600/,
    );
  });

  test('puts the code of the step into its working directory, and its Python environment first on PATH', async () => {
    const build = path.join(root, 'builds', 'build');
    const code = path.join(build, 'code', 'train');
    const bin = path.join(root, 'venv', 'bin');
    await Promise.all([mkdir(path.join(code, 'deep'), { recursive: true }), mkdir(bin, { recursive: true })]);
    await writeFile(path.join(code, 'train.sh'), 'cat data.txt deep/x.txt; echo "$VIRTUAL_ENV"');
    await writeFile(path.join(code, 'data.txt'), 'data\n');
    await writeFile(path.join(code, 'deep', 'x.txt'), 'deep\n');
    await writeFile(path.join(bin, 'python'), '#!/bin/sh\necho python\nexec sh "$@"\n', { mode: 0o755 });
    const asked: string[] = [];
    const ensurePython: ProcessExecutorDeps['ensurePython'] = ({ requirements }) => (
      asked.push(requirements),
      Promise.resolve({ bin })
    );
    const launch = buildLaunch({
      step: 'train',
      code: ['steps/train.sh', 'steps/lib'],
      python: { requirements: 'steps/requirements.txt' },
      command: ['python', 'train.sh'],
    });
    succeeded(await createExecutor({ ensurePython }).run(launch, recordWatch().watch));
    const log = Buffer.from(
      (await store.readBytes(storeKeys.log('execution', launch.name))) ?? [],
    ).toString();
    assert.equal(log, `python\ndata\ndeep\n${path.dirname(bin)}\n`);
    assert.deepEqual(asked, [path.join(build, 'python', 'train.txt')]);
    failedWith(
      await createExecutor().run(buildLaunch({ python: { requirements: 'r.txt' } }), recordWatch().watch),
      'EnvironmentFailed',
    );
    failedWith(
      await createExecutor().run(buildLaunch({ code: ['no.py'] }), recordWatch().watch),
      'CodeMissing',
    );
  });

  test('says which input is not what was recorded', async () => {
    const first = buildLaunch({ command: sh('echo a > ', output('a')), outputs: { a: dataset } });
    const { outputs } = succeeded(await createExecutor().run(first, recordWatch().watch));
    const a = outputs['a'];
    assert.ok(a);
    await store.putBytes(store.keyOf(a.uri), new TextEncoder().encode('longer'));
    assert.match(
      failedWith(
        await createExecutor().run(buildLaunch({ inputs: { a } }), recordWatch().watch),
        'InputMissing',
      ).message,
      /input "a".*has 6 bytes.*2 were recorded/,
    );
    await store.removeAll(storeKeys.attempt('execution', first.name));
    failedWith(
      await createExecutor().run(buildLaunch({ inputs: { a } }), recordWatch().watch),
      'InputMissing',
    );
  });

  test('stores checkpoints while the command runs: renamed ones at once, others when they have settled', async () => {
    const command = sh(
      'cd "$ANNEAL_CHECKPOINT_DIR"; echo 1 > a.tmp; mv a.tmp a; until [ -e ',
      output('go'),
      ' ]; do sleep 0.05; done; mkdir b; echo 2 > b/x; echo begun; sleep 60',
    );
    const launch = buildLaunch({ command });
    const recorded = recordWatch();
    const running = createExecutor({ checkpointSettleMs: 700 }).run(launch, recorded.watch);
    await recorded.until(recorded.isRunning);
    const names = async () => (await listCheckpoints(store, launch.request)).map(({ entry }) => entry);
    await eventually('a is stored', async () => (await names()).join() === 'a');
    await writeFile(path.join(pathsOf(launch).outputs, 'go'), '');
    await hasLogged(launch, 'begun');
    await eventually('b is stored', async () => (await names()).join() === 'b,a');
    process.kill((await readCommand(launch)).pid, 'SIGKILL');
    failedWith(await running, 'AttemptKilled');
  });

  test('restores the checkpoint before a damaged one', async () => {
    const launch = buildLaunch({
      command: sh(
        'cd "$ANNEAL_CHECKPOINT_DIR"; for i in 1 2 3; do echo $i > c$i; touch -d "2020-01-0$i" c$i; done; exit 1',
      ),
    });
    failedWith(await createExecutor().run(launch, recordWatch().watch), 'StepFailed');
    const found = await listCheckpoints(store, launch.request);
    assert.deepEqual(
      found.map(({ entry }) => entry),
      ['c3', 'c2'],
    );
    for await (const { key } of store.list(`${storeKeys.checkpoints('execution', launch.request.callId)}`))
      if (key.endsWith('-c3/files/data')) await store.putBytes(key, new TextEncoder().encode('X\n'));
    const next = buildLaunch({
      callId: launch.request.callId,
      attempt: 2,
      command: sh('cd "$ANNEAL_CHECKPOINT_DIR"; echo more >> c2; cat c2 > ', output('found')),
      outputs: { found: dataset },
    });
    assert.equal(
      await readOutput(await createExecutor().run(next, recordWatch().watch), 'found'),
      '2\nmore\n',
    );
    assert.deepEqual(
      (await listCheckpoints(store, launch.request)).map(({ entry, sequence }) => [entry, sequence])[0],
      ['c2', 4],
    );
  });

  test('leases each GPU to one attempt at a time', async () => {
    const gpus = { leasesDir: path.join(root, 'gpus'), discover: () => Promise.resolve(['GPU-a']) };
    const executor = createExecutor({ gpus });
    const holder = buildLaunch({
      resources: { gpu: 1 },
      command: sh('echo "on $CUDA_VISIBLE_DEVICES"; sleep 60'),
    });
    const [first, second] = [recordWatch(), recordWatch()];
    const holding = executor.run(holder, first.watch);
    await hasLogged(holder, 'on GPU-a');
    const waiter = buildLaunch({
      resources: { gpu: { type: 'a100', count: 1 } },
      command: sh('echo "on $CUDA_VISIBLE_DEVICES" > ', output('on')),
      outputs: { on: dataset },
    });
    const waiting = executor.run(waiter, second.watch);
    await second.until(() => second.progress.some(({ phase }) => phase === 'queued'));
    first.cancel.abort(new Error('enough'));
    await assert.rejects(holding, /enough/);
    assert.equal(await readOutput(await waiting, 'on'), 'on GPU-a\n');
    const without = buildLaunch({ resources: { gpu: 1 }, command: sh('echo "[$CUDA_VISIBLE_DEVICES]"') });
    succeeded(await createExecutor().run(without, recordWatch().watch));
    assert.equal(
      Buffer.from((await store.readBytes(storeKeys.log('execution', without.name))) ?? []).toString(),
      'anneal: asked for 1 GPU; this machine has none, running without\n[]\n',
    );
  });
});
