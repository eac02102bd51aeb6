import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandContext } from '../../src/cli/command.js';
import { runChecks } from '../../src/cli/doctor-checks.js';
import { createTerminal } from '../../src/cli/terminal.js';

test('doctor names a Temporal CLI that is set and does not run, with the mend', async () => {
  const env = { ANNEAL_TEMPORAL_CLI: '/nowhere/temporal' };
  const silent = { write: () => true };
  const context: CommandContext = {
    terminal: createTerminal({ stdout: silent, stderr: silent, env }, { json: false }),
    env,
    cwd: '/',
    nowMs: () => 0,
    openProject: async () => await Promise.reject(new Error('there is no project')),
    interruptible: async (work) => await work(new AbortController().signal),
  };
  const finding = (await runChecks(context)).find(({ name }) => name === 'Temporal CLI');
  assert.deepEqual(finding, {
    name: 'Temporal CLI',
    level: 'error',
    found: 'ANNEAL_TEMPORAL_CLI is /nowhere/temporal, which does not run here',
    mend: 'Correct it, or unset it to have one found or installed.',
  });
});
