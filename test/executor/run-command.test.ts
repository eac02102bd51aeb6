import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pathsIn } from '../../src/adapters/process-executor/attempt-directory.js';
import { startLongTimer } from '../../src/agent/long-timer.js';
import { runCommand } from '../../src/agent/run-command.js';

const DAY_MS = 86_400_000;

describe('a command', () => {
  test('that cannot be recorded does not run, and is no failure of its own', async (t) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'anneal-command-'));
    t.after(async () => await rm(directory, { recursive: true, force: true }));
    const paths = pathsIn(directory);
    await mkdir(path.dirname(paths.log), { recursive: true });
    await mkdir(paths.work);
    // A directory in the place of the record: nothing can be written there.
    await mkdir(path.join(paths.command, 'taken'), { recursive: true });
    const stops = {
      signal: new AbortController().signal,
      stop: () => undefined,
      needClaims: () => undefined,
      endClaims: () => undefined,
      close: () => undefined,
    };
    const run = runCommand({
      paths,
      file: '/bin/sh',
      args: ['-c', 'echo ran'],
      env: { PATH: '/usr/bin:/bin' },
      stopGraceMs: 1_000,
      stops,
      clock: { nowMs: () => Date.now() },
    });
    await assert.rejects(run, /EISDIR|ENOTEMPTY|EEXIST|EPERM/);
    assert.equal(await readFile(paths.log, 'utf8'), '');
  });

  test('may have a time limit of more than 24 days', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let ended = 0;
    startLongTimer(30 * DAY_MS, () => (ended += 1));
    const cleared = startLongTimer(30 * DAY_MS, () => (ended += 10));
    const pass = (days: number) => {
      for (let day = 0; day < days; day++) t.mock.timers.tick(DAY_MS);
    };
    pass(29);
    assert.equal(ended, 0);
    cleared.clear();
    pass(2);
    assert.equal(ended, 1);
  });
});
