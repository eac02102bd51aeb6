import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandContext, CommandOptions } from '../../src/cli/command.js';
import { backfill } from '../../src/cli/commands/backfill.js';

test('options of a backfill that would be ignored are refused before anything is asked', async () => {
  const context = Object.create(null) as CommandContext;
  const refusals: readonly (readonly [CommandOptions, RegExp])[] = [
    [{ retryFailed: true, dryRun: true }, /are of the whole backfill/],
    [{ pause: true, from: '2026-01-01' }, /are of the whole backfill/],
    [{ cancel: true, concurrency: '8' }, /are of the whole backfill/],
    [{ dryRun: true }, /^Say which partitions: --from and --to, --keys, or --all\.$/],
    [{ again: true, param: [] }, /^Say which partitions/],
    [{ from: '2026-01-01', keys: '2026-01-05' }, /^Name partitions in one way/],
    [{ to: '2026-01-01', all: true }, /^Name partitions in one way/],
    [{ pause: true, cancel: true }, /^Give one of --pause/],
  ];
  for (const [options, message] of refusals)
    await assert.rejects(
      backfill(context, ['daily'], options),
      { code: 'InvalidCommand', message },
      JSON.stringify(options),
    );
});
