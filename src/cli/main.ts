#!/usr/bin/env node
import { readCalledAs } from './called-as.js';
import { createInterrupts } from './interruptible.js';
import { runCli } from './run-cli.js';

const { interruptible, abort } = createInterrupts();

// A reader that goes away (`anneal list | head`, a closed terminal) is no error: nothing more is shown, and what was started is ended in
// the command's own way.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
    abort('a closed output');
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  calledAs: readCalledAs(process.argv[1], process.env),
  cwd: process.cwd(),
  nowMs: () => Date.now(),
  interruptible,
  ...(process.stdin.isTTY && process.stdout.isTTY
    ? { ask: async (question, signal) => await (await import('./confirm.js')).confirm(question, signal) }
    : {}),
  openProject: async (options) => await (await import('./open-project.js')).openProject(options),
});
