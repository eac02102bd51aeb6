import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { isSameProcess, readProcessIdentity } from '../../src/adapters/process-identity.js';
import {
  ensureWorkerProcess,
  readReadyWorkers,
  stopWorkerProcess,
  waitForWorker,
} from '../../src/local/worker-process.js';

const MODULE = pathToFileURL(path.resolve('src/local/worker-process.ts')).href;

describe('the worker process', () => {
  let stateDir: string;
  before(async () => void (stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-worker-'))));
  after(async () => {
    await stopWorkerProcess(stateDir);
    await rm(stateDir, { recursive: true, force: true });
  });

  test('is ready with its own build, whatever another worker says later; dead ones are forgotten', async () => {
    const first = announce('a');
    const second = announce('b');
    try {
      for (const [child, build] of [
        [first, 'a'],
        [second, 'b'],
      ] as const) {
        const identity = await readProcessIdentity(child.pid ?? 0);
        assert.ok(identity);
        await waitForWorker(stateDir, {
          worker: { process: identity },
          build,
          signal: AbortSignal.timeout(20_000),
        });
      }
      assert.equal((await readReadyWorkers(stateDir)).length, 2);
    } finally {
      for (const child of [first, second]) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
    assert.deepEqual(await readReadyWorkers(stateDir), []);
    assert.deepEqual(await readdir(path.join(stateDir, 'ready-workers')), []);
  });

  test('ends with the installer that it runs', async () => {
    const pidFile = path.join(stateDir, 'installer');
    const script = `const c = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)']);
      require('node:fs').writeFileSync(process.argv[1], String(c.pid)); process.on('SIGTERM', () => process.exit(0)); setInterval(() => 0, 1000);`;
    const command = {
      file: process.execPath,
      args: ['-e', script, pidFile],
      env: process.env,
      cwd: stateDir,
    };
    const worker = await ensureWorkerProcess({ stateDir, settings: 'one', command });
    const installer = await until(async () => {
      const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'));
      return await readProcessIdentity(pid);
    });
    const same = await ensureWorkerProcess({ stateDir, settings: 'two', command, replace: false });
    assert.deepEqual([same.started, same.process], [false, worker.process]);
    assert.equal(await stopWorkerProcess(stateDir, { ...worker.process, startedAt: 'other' }), false);
    assert.equal(await isSameProcess(worker.process), true);
    assert.equal(await stopWorkerProcess(stateDir, worker.process), true);
    assert.equal(await isSameProcess(installer), false);
  });

  function announce(build: string): ChildProcess {
    const script = `import(${JSON.stringify(MODULE)}).then((m) => m.announceWorkerReady(process.argv[1], process.argv[2])); setInterval(() => 0, 1000);`;
    return spawn(process.execPath, ['--import', 'tsx', '-e', script, stateDir, build], { stdio: 'inherit' });
  }
});

async function until<T>(read: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    await delay(20);
  }
}
