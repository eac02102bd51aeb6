import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import { scheduled } from '../schedules/schedule-server.js';
import { cli } from './fake-cli.js';

const preview = async (pipelines: readonly PipelineDefinition[], ...argv: string[]) =>
  await cli(['schedule', 'preview', ...argv], { pipelines });

test('a preview of a year says in words what the changes of the clocks do', async () => {
  const pipelines = [
    scheduled('nightly', {
      cron: '30 2 * * *',
      timezone: 'Europe/Berlin',
      skip: { dates: [{ date: '12-25', name: 'Christmas' }] },
    }),
    scheduled('never'),
  ];
  const { code, out } = await preview(pipelines, '--year', '2026');
  assert.equal(code, 0);
  assert.deepEqual(out.trimEnd().split('\n'), [
    'nightly  At 02:30, Europe/Berlin, but for 1 date: 363 times from 2026-01-01 to 2026-12-31',
    '    Thu 2026-01-01 02:30 CET',
    '    Fri 2026-01-02 02:30 CET',
    '    Sat 2026-01-03 02:30 CET',
    '    Sun 2026-01-04 02:30 CET',
    '    Mon 2026-01-05 02:30 CET',
    '    ...',
    '  left out:',
    '    Fri 2026-12-25 02:30 CET  Christmas',
    '  2026-03-29: clocks go forward by 1h 00m',
    '    02:30 does not exist: nothing starts',
    '  2026-10-25: clocks go back by 1h 00m',
    '    02:30 is there twice: starts once, at 02:30 CET',
  ]);
});

test('a preview of what has no schedule says which pipelines have one', async () => {
  const { code, err } = await preview([scheduled('nightly', { every: '1h' })], 'nightli');
  assert.equal(code, 2);
  assert.match(err, /Pipeline "nightli" declares no schedule in code; these do: "nightly"\./);
  assert.equal((await preview([scheduled('nightly', { every: '1h' })], '--year', 'next')).code, 2);
});
