import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import {
  keepWorkerLogSmall,
  openWorkerLog,
  readWorkerLogEnd,
  workerLogFile,
} from '../../src/local/worker-log.js';

const sizeOf = async (file: string) => await stat(file).then(({ size }) => size);

async function withLog(t: { after(fn: () => Promise<void>): void }) {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'anneal-worker-log-'));
  const log = await openWorkerLog(stateDir);
  t.after(async () => {
    await log.close();
    await rm(stateDir, { recursive: true });
  });
  return { stateDir, log, file: workerLogFile(stateDir) };
}

describe("the worker's log", () => {
  test('is cut while the worker runs, with what was before kept once, and the worker goes on writing to it', async (t) => {
    const { stateDir, log, file } = await withLog(t);
    const stop = keepWorkerLogSmall(stateDir, { fd: log.fd, limitBytes: 1_000, everyMs: 10 });
    t.after(async () => await Promise.resolve(stop()));
    for (const round of [1, 2]) {
      await log.write(`${'x'.repeat(1_000)} round ${round}\n`);
      assert.ok(await waitUntil(async () => (await sizeOf(file)) === 0, 5_000));
      assert.match(await readFile(`${file}.1`, 'utf8'), new RegExp(`^x{1000} round ${round}\n$`));
    }
    await log.write('after\n');
    assert.equal(await readFile(file, 'utf8'), 'after\n');
    assert.match(await readWorkerLogEnd(stateDir), /after/);
  });

  test('of a worker run by hand, whose output goes elsewhere, is left alone', async (t) => {
    const { stateDir, log, file } = await withLog(t);
    const other = await withLog(t);
    await log.write('x'.repeat(2_000));
    await other.log.write('y'.repeat(2_000));
    let looks = 0;
    const stop = keepWorkerLogSmall(stateDir, { fd: other.log.fd, limitBytes: 1_000, everyMs: 5 });
    const timer = setInterval(() => looks++, 5);
    assert.ok(await waitUntil(async () => await Promise.resolve(looks > 10), 5_000));
    clearInterval(timer);
    stop();
    assert.deepEqual([await sizeOf(file), await sizeOf(other.file)], [2_000, 2_000]);
  });

  test('is short in a message, however long it is', async (t) => {
    const { stateDir, file } = await withLog(t);
    await writeFile(file, `${'early\n'.repeat(100_000)}last line\n`);
    const end = await readWorkerLogEnd(stateDir);
    assert.match(end, /last line/);
    assert.ok(end.length < 5_000);
  });
});
