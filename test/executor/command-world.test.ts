import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import type { ProcessExecutorDeps } from '../../src/adapters/process-executor/executor-deps.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { createAttemptWorld } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, output, recordWatch, sh, succeeded } from './contract.js';

describe('process executor: what a command finds', { concurrency: 3 }, () => {
  const { createExecutor, pathsOf, readOutput, hasLogged, root, store, readLog } = createAttemptWorld();

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

  test('gives a command neither of two secrets that share a variable', async () => {
    const launch = buildLaunch({
      env: {
        USER_NAME: { secret: { name: 'db', key: 'user_name' } },
        NAME: { secret: { name: 'db_user', key: 'name' } },
      },
      command: sh('true'),
      outputs: {},
    });
    const executor = createExecutor({ env: { ...process.env, ANNEAL_SECRET_DB_USER_NAME: 'whose?' } });
    const { message } = failedWith(await executor.run(launch, recordWatch().watch), 'InvalidConfig');
    assert.match(message, /are different secrets of one environment variable, ANNEAL_SECRET_DB_USER_NAME/);
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
    const ensurePython: ProcessExecutorDeps['ensurePython'] = ({ requirements }, { onProgress }) => (
      asked.push(requirements),
      onProgress('installing'),
      Promise.resolve({ bin })
    );
    const told = recordWatch();
    const launch = buildLaunch({
      step: 'train',
      code: ['steps/train.sh', 'steps/lib'],
      python: { requirements: 'steps/requirements.txt' },
      command: ['python', 'train.sh'],
    });
    succeeded(await createExecutor({ ensurePython }).run(launch, told.watch));
    assert.equal(
      told.progress.find(({ phase, detail }) => phase === 'preparing' && detail)?.detail,
      'installing',
    );
    const log = await readLog(launch);
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
