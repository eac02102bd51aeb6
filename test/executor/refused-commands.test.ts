import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { failureRow } from '../../src/core/failures.js';
import { createAttemptWorld } from './attempt-world.js';
import { buildLaunch, failedWith, output, recordWatch, sh, dataset, succeeded } from './contract.js';

describe('commands that cannot be started', { concurrency: 2 }, () => {
  const { createExecutor, root, readOutput } = createAttemptWorld();
  const run = async (request: Parameters<typeof buildLaunch>[0]) =>
    await createExecutor().run(buildLaunch(request), recordWatch().watch);
  const program = async (name: string, content: string | Uint8Array, mode = 0o755) => {
    const file = path.join(root, name);
    await writeFile(file, content, { mode });
    return file;
  };

  test('one argument that is too long is the mistake of who gave it, named with the way out, and never retried', async () => {
    const failed = failedWith(await run({ command: ['true', 'x'.repeat(3_000_000)] }), 'InvalidInput');
    assert.match(
      failed.message,
      /^Step "step": its command and environment are longer \(2\.9Mi\) than this machine can start; the longest part is argument 1 of its command \(2\.9Mi; .*\$ANNEAL_PARAMETERS_DIR\.$/,
    );
    assert.equal(failureRow(failed.code).retry, 'never');
  });

  test('a variable that is too long is named', async () => {
    const failed = failedWith(await run({ env: { TABLE: 'x'.repeat(3_000_000) } }), 'InvalidInput');
    assert.match(failed.message, /the longest part is the variable TABLE of its environment \(2\.9Mi/);
    assert.ok(failed.message.length < 500);
  });

  test('a script whose first line names no program of this machine is said so', async () => {
    const file = await program('no-interpreter', '#!/opt/none/bin/python3 -u\nprint(1)\n');
    assert.match(
      failedWith(await run({ command: [file] }), 'CommandNotFound').message,
      /needs \/opt\/none\/bin\/python3, which does not exist on this machine/,
    );
    const windows = await program('windows', '#!/bin/sh\r\necho 1\r\n');
    assert.match(
      failedWith(await run({ command: [windows] }), 'CommandNotFound').message,
      /has Windows line ends/,
    );
  });

  test('a program of another kind of machine is said so, and not tried again', async () => {
    const head = Buffer.alloc(128);
    head.write('\x7fELF\x02\x01\x01', 'latin1');
    const failed = failedWith(await run({ command: [await program('foreign', head)] }), 'CommandNotFound');
    assert.match(
      failed.message,
      /^Step "step": its command could not be started: .*foreign.*(format|binary)/i,
    );
    assert.equal(failed.exitCode, 126);
    assert.equal(failureRow(failed.code).retry, 'never');
  });

  test('a file that may not be run, a directory and a program that is not there are said so', async () => {
    const plain = await program('plain', 'echo', 0o644);
    await mkdir(path.join(root, 'folder'));
    for (const [command, why] of [
      [plain, /is not executable \(chmod \+x/],
      [path.join(root, 'folder'), /is not a file/],
      ['./absent', /does not exist/],
      ['no-such-program', /is not on the PATH of this machine/],
    ] as const)
      assert.match(failedWith(await run({ command: [command] }), 'CommandNotFound').message, why);
  });

  test("a command's own 126 and 127 stay failures of the step", async () => {
    failedWith(await run({ command: sh('no-such-program-in-a-script') }), 'StepFailed');
    failedWith(await run({ command: sh('echo "anneal: 1: exec: x: not found"; exit 126') }), 'StepFailed');
  });

  test('every attempt has a trace context of its own, the same trace over the attempts of a run', async () => {
    const seen = async (attempt: number) => {
      const outcome = await run({
        attempt,
        command: sh('printf %s "$TRACEPARENT" > ', output('trace')),
        outputs: { trace: dataset },
      });
      return await readOutput(succeeded(outcome), 'trace');
    };
    const [first, second] = [await seen(1), await seen(2)];
    assert.match(first, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.equal(first.slice(0, 35), second.slice(0, 35));
    assert.notEqual(first, second);
  });
});
