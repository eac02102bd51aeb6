import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, describe, test } from 'node:test';

import { readEnvironmentMembers, readGroupMembers } from '../../src/adapters/process-identity.js';
import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import { wrapperCommand } from '../../src/core/pod-layout.js';
import type { PodVolume } from './pod-volume.js';
import { createPreparedVolume, readText } from './pod-volume.js';

const TIMEOUT_MS = 15_000;

const eventually = async (what: string, check: () => Promise<boolean> | boolean) =>
  assert.ok(await waitUntil(async () => await check(), TIMEOUT_MS), `${what} within ${TIMEOUT_MS} ms`);

describe('the wrapper of a step', { concurrency: 4, skip: process.platform !== 'linux' }, () => {
  const volumes: PodVolume[] = [];
  after(async () => {
    for (const { paths, remove } of volumes) {
      assert.deepEqual(await readEnvironmentMembers('ANNEAL_COMMAND_OF', `${paths.root}/`), []);
      await remove();
    }
  });

  async function start(command: readonly string[], env: Record<string, string> = {}) {
    const volume = await createPreparedVolume();
    volumes.push(volume);
    const { paths } = volume;
    const [file = '', ...args] = wrapperCommand(paths);
    // A group of its own, so that a signal for one does not reach the other.
    const child = spawn(file, [...args, ...command], {
      env: { PATH: process.env['PATH'], ANNEAL_STOP_GRACE: '1', VOLUME: paths.root, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let shown = '';
    let complaints = '';
    child.stdout.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (complaints += bytes.toString()));
    const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    const exit = () => readText(paths.exit);
    return {
      paths,
      child,
      shown: () => shown,
      log: () => readText(paths.log),
      /** Waits for the exit code, then lets the wrapper go as the agent does. */
      end: async (answer = '0') => {
        await eventually('an exit code', async () => (await exit()) !== undefined);
        const code = await exit();
        await writeFile(`${paths.done}.new`, `${answer}\n`);
        await rename(`${paths.done}.new`, paths.done);
        const [exitCode] = await closed;
        assert.equal(complaints, '');
        return { code, exitCode };
      },
      hasLogged: (text: string) =>
        eventually(`"${text}" in the log`, async () => ((await readText(paths.log)) ?? '').includes(text)),
    };
  }
  const shell = (script: string) => ['sh', '-c', script];

  test('puts both outputs into the log and to the container, and ends with the exit code after the agent is done', async () => {
    const run = await start(shell('echo out; echo err >&2; pwd; exit 3'));
    await eventually('the exit code', async () => (await readText(run.paths.exit)) === '3');
    assert.equal(run.child.exitCode, null);
    const text = `out\nerr\n${run.paths.work}`;
    assert.equal(await run.log(), text);
    assert.deepEqual(await run.end(), { code: '3', exitCode: 3 });
    assert.equal(run.shown().trimEnd(), text);
    assert.equal(await readText(run.paths.endedBy), undefined);
  });

  test('ends with 97 when what the command made could not be stored', async () => {
    assert.deepEqual(await (await start(shell('true'))).end('97'), { code: '0', exitCode: 97 });
  });

  test('hands arguments over as they are', async () => {
    const words = ['', 'a b', '$(id)', '*', "it's", '"', '\\n', 'ä'];
    const run = await start(['printf', '<%s>\\n', ...words]);
    await run.end();
    assert.equal(await run.log(), words.map((word) => `<${word}>`).join('\n'));
  });

  test('passes SIGTERM on to every process of the command, and waits for what they save', async () => {
    const run = await start(
      shell(`trap 'echo parent; wait; exit 0' TERM
        (trap 'sleep 0.3; echo child; exit' TERM; echo ready; while :; do sleep 0.05; done) & wait; wait`),
    );
    await run.hasLogged('ready');
    run.child.kill('SIGTERM');
    assert.deepEqual(await run.end(), { code: '0', exitCode: 0 });
    const lines = (await run.log())?.split('\n').filter((line) => line !== 'Terminated');
    assert.deepEqual(lines?.sort(), ['child', 'parent', 'ready']);
    assert.equal(await readText(run.paths.endedBy), 'signal');
  });

  test('kills a command that ignores SIGTERM after the grace', async () => {
    const run = await start(shell(`trap '' TERM; echo ready; while :; do sleep 0.05; done`));
    await run.hasLogged('ready');
    const asked = performance.now();
    run.child.kill('SIGTERM');
    assert.deepEqual(await run.end(), { code: '137', exitCode: 137 });
    assert.ok(performance.now() - asked >= 1_000);
  });

  test('ends a command that runs longer than its timeout', async () => {
    const run = await start(shell('echo begun; exec sleep 60'), { ANNEAL_TIMEOUT: '0.5' });
    assert.deepEqual(await run.end(), { code: '143', exitCode: 143 });
    assert.equal(await readText(run.paths.endedBy), 'timeout');
  });

  test('a timeout that is longer than the command leaves nothing behind', async () => {
    const leavesNothing = async () => {
      const run = await start(['true'], { ANNEAL_TIMEOUT: '3600' });
      assert.deepEqual(await run.end(), { code: '0', exitCode: 0 });
      assert.equal(await readText(run.paths.endedBy), undefined);
      await eventually('nothing is left of its group', async () => {
        return (await readGroupMembers(run.child.pid ?? 0)).length === 0;
      });
    };
    // Some of those that end at once do so before the timer's own shell is ready to be told.
    await Promise.all(Array.from({ length: 12 }, leavesNothing));
  });

  test('nothing that the command left running sees its exit code, also in a session of its own', async () => {
    const run = await start(
      shell(
        'setsid sh -c "echo far; exec sleep 61" & sleep 62 & while ! grep -q far $VOLUME/logs/output.log; do sleep 0.02; done; exit 5',
      ),
    );
    assert.deepEqual(await run.end(), { code: '5', exitCode: 5 });
    assert.deepEqual(await readEnvironmentMembers('ANNEAL_COMMAND_OF', `${run.paths.root}/`), []);
  });

  test('a process that is killed beside a command that succeeds does not change its exit code', async () => {
    const run = await start(shell('sleep 60 & kill -KILL $!; wait; exit 0'));
    assert.deepEqual(await run.end(), { code: '0', exitCode: 0 });
  });

  test('a command that is killed has the exit code of a shell', async () => {
    assert.deepEqual(await (await start(shell('kill -KILL $$'))).end(), { code: '137', exitCode: 137 });
  });

  test('goes on with the output when the process that copies it is killed', async () => {
    const run = await start(shell('echo one; while [ ! -e $VOLUME/go ]; do sleep 0.02; done; echo two'));
    await run.hasLogged('one');
    const copying = async () =>
      (await readGroupMembers(run.child.pid ?? 0))
        .map(({ pid }) => pid)
        .filter((pid) => pid !== run.child.pid);
    let killed = 0;
    for (const pid of await copying()) {
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (words.includes('tee\0')) killed += Number(process.kill(pid, 'SIGKILL'));
    }
    assert.equal(killed, 1);
    await writeFile(`${run.paths.root}/go`, '');
    assert.deepEqual(await run.end(), { code: '0', exitCode: 0 });
    assert.equal(await run.log(), 'one\ntwo');
  });

  test('its death is the end of the pipe that the agent holds', async () => {
    const run = await start(shell('echo begun; exec sleep 60'));
    await run.hasLogged('begun');
    assert.equal(await readText(run.paths.started), '1');
    const reader = spawn('cat', [run.paths.alive], { stdio: 'ignore' });
    const ended = once(reader, 'exit');
    await eventually('the reader has opened it', async () =>
      (await readFile(`/proc/${reader.pid ?? 0}/wchan`, 'utf8').catch(() => 'pipe')).includes('pipe'),
    );
    run.child.kill('SIGKILL');
    await ended;
    assert.equal(await readText(run.paths.exit), undefined);
    // In a container everything ends with its first process; here nothing does it for us.
    for (const { pid } of await readEnvironmentMembers('ANNEAL_COMMAND_OF', `${run.paths.root}/`))
      process.kill(pid, 'SIGKILL');
    await eventually('nothing is left of it', async () => {
      return (await readEnvironmentMembers('ANNEAL_COMMAND_OF', `${run.paths.root}/`)).length === 0;
    });
  });

  test('a command that is told to end before it begins never runs', async () => {
    const run = await start(shell('echo ran'), { PATH: `/nowhere:${process.env['PATH'] ?? ''}` });
    run.child.kill('SIGTERM');
    // So early, a signal may find no shell yet; then the container ends with the signal, and there is no exit code.
    const { log } = run;
    await Promise.race([
      once(run.child, 'close'),
      eventually('an end', async () => (await readText(run.paths.exit)) !== undefined),
    ]);
    assert.ok([undefined, '', 'ran'].includes(await log()));
    if (run.child.exitCode === null && run.child.signalCode === null) await run.end();
  });

  describe('a command that cannot be started', () => {
    const refused = async (
      command: readonly string[],
      prepare: (work: string) => Promise<void> = async () => {},
    ) => {
      const volume = await createPreparedVolume();
      volumes.push(volume);
      await prepare(volume.paths.work);
      const [file = '', ...args] = wrapperCommand(volume.paths);
      await writeFile(volume.paths.done, '0\n');
      const child = spawn(file, [...args, ...command], { env: { PATH: '/usr/bin:/bin' }, stdio: 'ignore' });
      const closed = once(child, 'close') as Promise<[number | null]>;
      const [code] = await closed;
      return { code, why: await readText(volume.paths.refused), log: await readText(volume.paths.log) };
    };

    test('is not on the PATH', async () => {
      const { code, why, log } = await refused(['no-such-program', 'x']);
      assert.equal(code, 127);
      assert.equal(why, '"no-such-program" is not on the PATH of the image (/usr/bin:/bin)');
      assert.equal(log, `anneal: its command ${why}`);
    });

    test('is not in the code of the step', async () => {
      const { code, why } = await refused(['./train.sh']);
      assert.deepEqual(
        [code, why],
        [127, '"./train.sh" does not exist in the image or in code: of the step'],
      );
    });

    test('is found in the code of the step, and is not executable', async () => {
      const write = async (work: string) => {
        await writeFile(path.join(work, 'train.sh'), '#!/bin/sh\nexit 7\n', { mode: 0o644 });
      };
      const { code, why } = await refused(['./train.sh'], write);
      assert.deepEqual([code, why], [127, '"./train.sh" is not executable (chmod +x)']);
      const ran = await refused(['./train.sh'], async (work) => {
        await write(work);
        await chmod(path.join(work, 'train.sh'), 0o755);
      });
      assert.deepEqual([ran.code, ran.why], [7, undefined]);
    });

    test('names a program in its first line that is not there', async () => {
      const script = (content: string) => async (work: string) =>
        await writeFile(path.join(work, 'train'), content, { mode: 0o755 });
      assert.match(
        (await refused(['./train'], script('#!/opt/none/python3 -u\n'))).why ?? '',
        /needs \/opt\/none\/python3, which does not exist in the image/,
      );
      assert.match((await refused(['./train'], script('#!/bin/sh\r\n'))).why ?? '', /has Windows line ends/);
    });

    test('is made for another kind of machine', async () => {
      const { code, why } = await refused(['./foreign'], async (work) => {
        const head = Buffer.alloc(4_096);
        head.write('\x7fELF\x02\x01\x01', 'latin1');
        await writeFile(path.join(work, 'foreign'), head, { mode: 0o755 });
      });
      assert.ok(code !== 0);
      assert.equal(why, '"./foreign" is made for another kind of machine');
    });
  });
});
