#!/usr/bin/env node
import { interruptible } from './interruptible.js';
import { runCli } from './run-cli.js';

// A reader that goes away (`anneal list | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  nowMs: () => Date.now(),
  interruptible,
  openProject: async (options) => await (await import('./context.js')).openProject(options),
});
