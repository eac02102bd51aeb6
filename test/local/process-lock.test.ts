import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { withProcessLock } from '../../src/adapters/process-lock.js';

describe('process lock', () => {
  let root = '';
  before(async () => void (root = await mkdtemp(path.join(tmpdir(), 'anneal-lock-'))));
  after(async () => await rm(root, { recursive: true, force: true }));

  test('lets one in at a time and leaves nothing behind', async () => {
    const directory = path.join(root, 'busy');
    let inside = 0;
    let most = 0;
    const work = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise(setImmediate);
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 5 }, async () => await withProcessLock({ directory }, work)));
    assert.equal(most, 1);
    assert.deepEqual(await readdir(directory), []);
  });

  test('is not held by a process that died or by one with a recycled pid', async () => {
    const directory = path.join(root, 'dead');
    await mkdir(directory);
    await writeFile(path.join(directory, `4194305~x~1`), '');
    await writeFile(path.join(directory, `${process.pid}~another-time~2`), '');
    assert.equal(await withProcessLock({ directory }, async () => 'in'), 'in');
  });

  const box = { boot: 'aaaaaaaa', namespace: '4026531836', host: 'box' };
  const elsewhere = [
    ['another container of the machine', 'aaaaaaaa~4026539999~a1b2c3'],
    ['a machine that shares the folder', 'bbbbbbbb~4026531836~attic'],
  ] as const;
  for (const [where, origin] of elsewhere) {
    test(`is held by a process of ${where} that no pid tells of here, and says what to do`, async () => {
      const directory = await mkdtemp(path.join(root, 'foreign-'));
      const holder = path.join(directory, `4194305~x~1~${origin}`);
      await writeFile(holder, '');
      await assert.rejects(
        withProcessLock({ directory, timeoutMs: 0, origin: box }, async () => {}),
        (error: Error) =>
          error.message.includes(`Process 4194305 of another container or machine`) &&
          error.message.includes(`remove ${holder} if it does not run any more`),
      );
      assert.deepEqual(await readdir(directory), [path.basename(holder)]);
    });

    test(`is not held by a process of ${where} that has not touched it for long`, async () => {
      const directory = await mkdtemp(path.join(root, 'foreign-'));
      const holder = path.join(directory, `${process.pid}~x~1~${origin}`);
      await writeFile(holder, '');
      const longAgo = new Date(Date.now() - 11 * 60_000);
      await utimes(holder, longAgo, longAgo);
      assert.equal(await withProcessLock({ directory, origin: box }, async () => 'in'), 'in');
      assert.deepEqual(await readdir(directory), []);
    });
  }

  test('is not held by a process of the same machine before it was started again', async () => {
    const directory = path.join(root, 'rebooted');
    await mkdir(directory);
    await writeFile(path.join(directory, `${process.pid}~x~1~bbbbbbbb~4026531836~box`), '');
    assert.equal(await withProcessLock({ directory, origin: box }, async () => 'in'), 'in');
  });

  test('names its holder with where its pid counts', async () => {
    const directory = path.join(root, 'named');
    await withProcessLock({ directory, origin: box }, async () => {
      const [name = ''] = await readdir(directory);
      assert.match(name, new RegExp(`^${process.pid}~[^~]+~[^~]+~aaaaaaaa~4026531836~box$`));
    });
  });

  test('is released when the work fails', async () => {
    const directory = path.join(root, 'failing');
    await assert.rejects(
      withProcessLock({ directory }, async () => await Promise.reject(new Error('no'))),
      /no/,
    );
    assert.equal(await withProcessLock({ directory }, async () => 'in'), 'in');
  });

  test('gives up after its time-out and names the holder', async () => {
    const directory = path.join(root, 'held');
    await withProcessLock({ directory }, async () => {
      const waited: number[] = [];
      const options = { directory, timeoutMs: 50, onWait: (pid: number) => void waited.push(pid) };
      await assert.rejects(
        withProcessLock(options, async () => {}),
        new RegExp(`Process ${process.pid} still holds`),
      );
      assert.deepEqual(waited, [process.pid]);
    });
  });
});
