import assert from 'node:assert/strict';
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { SWEEP_NOW, sweeperWorkflowId } from '../../src/core/sweep.js';
import { DESK } from '../cli/desk-project.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { until } from './support/until.js';

const DAY_MS = 24 * 3_600_000;
const FILE = 'calendar/holidays.txt';
/** How the night is listed. */
const NIGHT = 'At 02:00, UTC';

describe('schedules of a project on a real server', () => {
  let world: DeskWorld;
  let broken: string;
  before(async () => {
    world = await startDeskWorld();
    broken = path.join(world.root, 'broken');
    await mkdir(path.join(world.root, 'calendar'));
    await writeFile(broken, '');
    await writeFile(path.join(world.root, FILE), `# days off\n${inDays(2)}  Founders' day\n`);
    await appendFile(path.join(world.root, 'pipelines/index.ts'), pipelinesOf(broken));
    await world.startWorker();
    // New runs still use the build without these pipelines.
    const early = world.spawn('schedule', 'apply', '--dry-run');
    assert.equal((await early.exited()).code, 0, early.output());
    assert.match(early.output(), /^Runs of schedule "fragile" will fail: new runs use build \w{12}, which/m);
    const first = world.spawn('run', 'quick', '--wait');
    assert.equal((await first.exited()).code, 0, first.output());
    assert.doesNotMatch(await apply(), /will fail/);
  });
  after(async () => await world.close());

  const apply = async (...argv: string[]) => {
    const program = world.spawn('schedule', 'apply', ...argv);
    assert.equal((await program.exited()).code, 0, program.output());
    return program.output();
  };
  /** How `schedule list` shows one of them. */
  const listed = async (pipeline: string) => {
    const { out } = await world.cli(['schedule', 'list']);
    const lines = out.split('\n');
    const at = lines.findIndex((line) => line.startsWith(`${pipeline}  `));
    if (at === -1) return undefined;
    const times = lines.slice(at + 1).findIndex((line) => !line.startsWith('    '));
    return {
      head: lines[at] ?? '',
      times: lines.slice(at + 1, at + 1 + times).map((line) => line.slice(8, 18)),
    };
  };
  const runsOf = async (pipeline: string) =>
    (await world.cli(['list', '--pipeline', pipeline, '--json'])).list();

  test('leave out the dates of a file, by the server itself, and follow the file when it is changed', async () => {
    const first = await until('it is listed', async () => await listed('office'));
    assert.equal(first.head, `office  active  ${NIGHT}, but for 1 date`);
    assert.deepEqual(first.times, nightsWithout(2));

    await writeFile(path.join(world.root, FILE), `${inDays(2)}  Founders' day\n${inDays(4)}\n`);
    assert.match(await apply('--dry-run'), /^~ office {2}At 02:00, UTC, but for 2 dates, next .*\n {4}skip/m);
    assert.deepEqual((await listed('office'))?.times, nightsWithout(2), 'nothing was changed');
    assert.match(await apply(), /^Schedules: 1 updated\.$/m);
    await until('the server leaves both out', async () => {
      const { times = [] } = (await listed('office')) ?? {};
      return JSON.stringify(times) === JSON.stringify(nightsWithout(2, 4));
    });
    const preview = await world.cli(['schedule', 'preview', 'office']);
    assert.match(preview.out, /Founders' day/);
  });

  test('of several kinds are one schedule, which starts at all of their times', async () => {
    const { head, times } = await until('it is listed', async () => await listed('mixed'));
    assert.equal(
      head,
      'mixed  active  At 02:00, Monday through Friday; At 05:00, only on Saturday; At 12:30, only on Sunday; Every 12h, 1h later, UTC',
    );
    assert.equal(times.length, 5);
  });

  test('that are to pause on a failure are paused by it, say so, and go on when they are resumed', async () => {
    const paused = await until('it is paused', async () => {
      const found = await listed('fragile');
      return found?.head.startsWith('fragile  paused') === true && found;
    });
    assert.match(paused.head, /^fragile {2}paused \(.*failure.*\)/);
    assert.deepEqual(paused.times, []);
    const failed = await runsOf('fragile');
    assert.ok(failed.some(({ state }) => state === 'failed'));
    await rm(broken);
    assert.equal((await world.cli(['schedule', 'resume', 'fragile'])).code, 0);
    await until('it starts runs again', async () =>
      (await runsOf('fragile')).some(({ state }) => state === 'completed'),
    );
    assert.match((await listed('fragile'))?.head ?? '', /^fragile {2}active/);
    assert.equal((await world.cli(['schedule', 'delete', 'fragile'])).code, 0);
  });

  test('fire a trigger once for each end, also of a run that ended while the worker was restarted', async () => {
    await until('the trigger is seen', async () => {
      await sweepNow();
      return /since/.test((await world.cli(['schedule', 'triggers'])).out);
    });
    const daily = async (day: string) =>
      assert.equal((await world.cli(['run', 'daily', '--param', `day=${day}`, '--id', day])).code, 0);
    const followed = async (count: number) =>
      await until(`${count} have followed`, async () => {
        const runs = await runsOf('follows');
        return runs.length >= count && runs.every(({ state }) => state === 'completed') && runs;
      });
    await daily('2026-03-01');
    await followed(1);
    const { kill } = await world.startWorker();
    await kill();
    await daily('2026-03-02');
    await world.startWorker();
    await followed(2);
    await (await world.startWorker()).kill();
    await world.startWorker();
    await sweepNow();
    await daily('2026-03-03');
    assert.equal((await followed(3)).length, 3, 'the first two have not started anything again');
  });

  const sweepNow = async () =>
    await world.temporal.workflow.getHandle(sweeperWorkflowId(DESK.project)).signal(SWEEP_NOW);
});

/** The date so many nights from now. */
function inDays(days: number): string {
  return new Date(firstNightMs() + days * DAY_MS).toISOString().slice(0, 10);
}

function firstNightMs(): number {
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS + 2 * 3_600_000;
  return today > Date.now() ? today : today + DAY_MS;
}

/** The next five nights, but for some. */
function nightsWithout(...days: readonly number[]): string[] {
  const all = Array.from({ length: 5 + days.length }, (_, i) => i);
  return all.filter((i) => !days.includes(i)).map(inDays);
}

const pipelinesOf = (broken: string) => `
const check = defineStep({
  name: 'check',
  inputs: {},
  outputs: {},
  command: () => ['sh', '-c', '[ ! -e "$1" ]', 'sh', ${JSON.stringify(broken)}],
});

export const office = definePipeline(
  { name: 'office', schedule: { cron: '0 2 * * *', skip: { file: '${FILE}' } } },
  async () => {
    await check({});
  },
);

export const mixed = definePipeline(
  {
    name: 'mixed',
    schedule: {
      cron: ['0 2 * * mon-fri', '0 5 * * sat'],
      calendar: { hour: 12, minute: 30, dayOfWeek: 'sun' },
      every: { every: '12h', offset: '1h' },
    },
  },
  async () => {
    await check({});
  },
);

export const fragile = definePipeline(
  { name: 'fragile', schedule: { every: '2s', catchup: '10s', pauseOnFailure: true } },
  async () => {
    await check({});
  },
);
`;
