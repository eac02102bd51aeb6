import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { runProgram } from '../../src/adapters/run-program.js';

const node = (code: string, timeoutMs?: number) =>
  runProgram({
    file: process.execPath,
    args: ['-e', code],
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });

describe('runProgram', () => {
  test('returns the exit code and both outputs', async () => {
    const result = await node('console.log("out"); console.error("err"); process.exitCode = 3');
    assert.deepEqual(result, { code: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  test('returns the reason for a program that is not there, and leaves no timer that keeps this process alive', async () => {
    const { code, stderr } = await runProgram({ file: 'no-such-program', args: [], timeoutMs: 60_000 });
    assert.equal(code, null);
    assert.match(stderr, /ENOENT/);
    assert.equal(process.getActiveResourcesInfo().includes('Timeout'), false);
  });

  test('kills a program that runs too long', async () => {
    assert.equal((await node('setInterval(() => {}, 1000)', 200)).code, null);
  });
});
