import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { createInterrupts } from '../../src/cli/interruptible.js';
import { INTERRUPTED } from '../../src/cli/report-error.js';

function world() {
  const signals = new EventEmitter();
  const exits: number[] = [];
  const clock = { ms: 5_000 };
  const interrupts = createInterrupts({
    signals,
    nowMs: () => clock.ms,
    exit: (code) => void exits.push(code),
  });
  return { signals, exits, clock, ...interrupts };
}

describe('interruptible work', () => {
  test('a Ctrl-C that arrives twice is one; a later one ends the program', async () => {
    const { signals, exits, clock, interruptible } = world();
    await interruptible(async (signal) => {
      signals.emit('SIGINT', 'SIGINT');
      signals.emit('SIGINT', 'SIGINT');
      clock.ms += 1_000;
      signals.emit('SIGINT', 'SIGINT');
      assert.equal(signal.aborted, true);
      assert.equal((signal.reason as { readonly code?: unknown }).code, INTERRUPTED);
      assert.deepEqual(exits, []);
      clock.ms += 1;
      signals.emit('SIGINT', 'SIGINT');
      assert.deepEqual(exits, [130]);
      await Promise.resolve();
    });
    assert.equal(signals.listenerCount('SIGINT'), 0);
  });

  test('is aborted by SIGHUP and by a closed output, also one that closed before', async () => {
    const first = world();
    await first.interruptible(async (signal) => {
      first.signals.emit('SIGHUP', 'SIGHUP');
      assert.equal(signal.aborted, true);
      await Promise.resolve();
    });
    const second = world();
    second.abort('a closed output');
    const seen = await second.interruptible(async ({ aborted }) => await Promise.resolve(aborted));
    assert.equal(seen, true);
  });

  test('a program that only waits for Ctrl-C waits', async () => {
    const code = `
      import { createInterrupts } from './src/cli/interruptible.ts';
      process.exitCode = await createInterrupts().interruptible(async (signal) => {
        console.log('waits');
        return await new Promise((resolve) => signal.addEventListener('abort', () => resolve(7)));
      });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    await Promise.race([once(child.stdout, 'data'), closed]);
    // Longer than a program with nothing to do lives on.
    const early = await Promise.race([closed.then(() => true), delay(500, false)]);
    child.kill('SIGINT');
    assert.deepEqual({ early, code: ((await closed) as [number | null])[0] }, { early: false, code: 7 });
  });

  test('a reader that goes away ends the program in its own way, without a trace', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', '--help'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.deepEqual({ code, said }, { code: 0, said: '' });
  });
});
