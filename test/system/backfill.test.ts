import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { until } from './support/until.js';

describe('backfill and triggers on a real project', () => {
  let world: DeskWorld;
  before(async () => {
    world = await startDeskWorld();
    await world.startWorker();
  });
  after(async () => await world.close());

  const backfill = async (...argv: string[]) => await world.cli(['backfill', 'daily', ...argv]);
  const range = ['--from', '2026-01-01', '--to', '2026-01-04'] as const;

  test('a backfill says what it would do, makes its partitions, and makes them once', async () => {
    // The trigger counts from the sweeper's first look.
    await until('the trigger is seen', async () =>
      /since/.test((await world.cli(['schedule', 'triggers'])).out),
    );
    assert.equal(
      (await backfill(...range, '--dry-run')).out,
      '4 partitions would be made: 2026-01-01 to 2026-01-04; 0 are made already by this code, with these parameters.\n',
    );
    const { code, out } = await backfill(...range, '--param', 'fine=0', '--concurrency', '2', '--wait');
    assert.equal(code, 1, out);
    assert.match(out, /^daily {2}completed: 3 made, 1 failed of 4 \(2 at once/m);
    assert.match(out, /^ {2}2026-01-02 {2}StepFailed {2}backfill\/daily\/2026-01-02$/m);
    assert.match(
      (await backfill(...range, '--param', 'fine=0', '--dry-run')).out,
      /^1 partition would be made: 2026-01-02; 3 are made already by this code, with these parameters\.$/m,
    );
    assert.match((await backfill(...range, '--dry-run')).out, /^4 partitions would be made/m);
    const again = (await backfill(...range, '--param', 'fine=0', '--wait', '--json')).document();
    assert.deepEqual([again['made'], again['skipped']], [0, 3]);
    const fixed = (await backfill('--keys', '2026-01-02', '--wait', '--json')).document();
    assert.deepEqual([fixed['made'], fixed['skipped'], fixed['failed']], [1, 0, []]);
    const [newest] = (await world.cli(['list', '--pipeline', 'daily', '--json'])).list();
    assert.equal(newest?.['runId'], 'backfill/daily/2026-01-02.r3');
  });

  test('each run that completed starts one of the pipeline that follows, with the partition of it', async () => {
    const days = await until(
      'all have followed',
      async () => {
        const runs = (await world.cli(['list', '--pipeline', 'follows', '--json'])).list();
        if (runs.length < 4 || runs.some(({ state }) => state !== 'completed')) return false;
        const all = runs.map(async ({ runId }) => {
          const { result } = (await world.cli(['describe', String(runId), '--json'])).document();
          return (result as { readonly day: string }).day;
        });
        return (await Promise.all(all)).toSorted();
      },
      180_000,
    );
    assert.deepEqual(days, ['2026-01-01', '2026-01-02', '2026-01-03', '2026-01-04']);
    assert.match(
      (await world.cli(['schedule', 'triggers'])).out,
      /^follows {2}after daily \(completed\), since .*\n {4}last .*: follows\/triggered\//,
    );
  });

  test('what cannot be asked for is said before anything starts', async () => {
    for (const [argv, message] of [
      [['--from', '2026-13-01'], /"2026-13-01" is no partition by day; write such as "2026-11-24"/],
      [['--to', '2026-01-01'], /is cut by day: give --from and --to/],
      [['--from', '2026-01-01', '--concurrency', '0'], /--concurrency "0" is no whole number from 1 to 200/],
      [['--from', '2026-01-01', '--param', 'colour=red'], /has no parameter "colour"/],
      [['--pause', '--cancel'], /Give one of --pause, --resume, --cancel and --retry-failed/],
      [['--pause'], /No backfill of pipeline "daily" is open/],
    ] as const) {
      const { code, err } = await backfill(...argv);
      assert.equal(code, 2, err);
      assert.match(err, message);
    }
    const { err } = await world.cli(['backfill', 'quick', '--from', '2026-01-01']);
    assert.match(err, /Pipeline "quick" has no partitions\. Add partition: to definePipeline/);
  });
});
