import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { attemptPaths, listAttempts } from '../../src/adapters/process-executor/attempt-directory.js';
import { readJson } from '../../src/adapters/attempt-files/json-file.js';
import type { AttemptSpec } from '../../src/adapters/process-executor/attempt-spec.js';
import type { Overview } from '../../src/client/index.js';
import { startDeskWorld, testEnvironment, type DeskWorld } from '../cli/desk-world.js';
import { until } from './support/until.js';
import { startWorkerProcess, type CliProcess } from './support/worker-process.js';

describe('runs and backfills that somebody steers from the command line', () => {
  let world: DeskWorld;
  let control: string;
  let worker: CliProcess;
  before(async () => {
    world = await startDeskWorld();
    const config = path.join(world.root, 'anneal.yaml');
    const text = await readFile(config, 'utf8');
    await writeFile(config, text.replace('pools:\n', 'pools:\n  big: { slots: 2 }\n'));
    await appendFile(path.join(world.root, 'pipelines/index.ts'), PIPELINES);
    control = path.join(world.root, 'control');
    await mkdir(control);
    worker = await startWorkerProcess(world.root, testEnvironment());
  });
  after(async () => {
    worker.kill('SIGTERM');
    await worker.exited();
    await world.close();
  });

  /** A command that has to succeed. */
  const anneal = async (...argv: string[]) => {
    const answer = await world.cli(argv);
    assert.equal(answer.code, 0, `${argv.join(' ')}: ${answer.err}`);
    return answer;
  };
  const start = async (pipeline: string, id: string) =>
    await anneal('run', pipeline, '--param', `control=${control}`, '--id', id);
  const describeRun = async (id: string) => (await anneal('describe', id, '--json')).document();
  const callsOf = async (id: string) => (await describeRun(id))['calls'] as Call[];
  const ended = async (id: string) =>
    await until(`${id} has ended`, async () => {
      const { state } = await describeRun(id);
      return ['completed', 'failed', 'cancelled'].includes(String(state)) && state;
    });
  /** Lets what waits for it go on. */
  const say = async (name: string) => await writeFile(path.join(control, name), '');
  /** What steps wrote down: a line each, in order. */
  const seen = async () =>
    (await readFile(path.join(control, 'seen'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const hasBegun = async (what: string) =>
    await until(`${what} has begun`, async () => (await seen()).includes(`begins ${what}`));

  /** What the only attempt of that number that runs was started with. */
  const readSpec = async (number: number) => {
    const names = await listAttempts(world.paths.attemptsDir);
    const [name = '', ...others] = names.filter((one) => one.endsWith(`-a${number}`));
    assert.deepEqual(others, []);
    return await readJson<AttemptSpec>(attemptPaths(world.paths.attemptsDir, name).spec);
  };

  test('a paused run lets its step end and starts no other until it is resumed', async () => {
    await start('chain', 'paused');
    await hasBegun('one-1');
    const paused = await anneal('pause', 'paused', '--reason', 'the source is down');
    assert.equal(paused.out, 'paused: paused. Steps that run go on; no new one starts.\n');
    assert.match((await anneal('pause', 'paused')).out, /^paused: paused by \S+ before\./);
    await say('one-1.ends');
    await until('the first step has ended', async () =>
      (await callsOf('paused')).some(({ name, state }) => name === 'one' && state === 'succeeded'),
    );
    const { out } = await anneal('describe', 'paused');
    assert.match(out, /paused/);
    assert.match(out, /the source is down/);
    assert.equal((await describeRun('paused'))['state'], 'paused');
    assert.match((await anneal('list', '--state', 'paused')).out, /^paused +chain +paused/m);
    const resumedMs = Date.now();
    assert.ok(!(await seen()).includes('begins two-1'));
    assert.equal((await anneal('resume', 'paused')).out, 'paused: resumed.\n');
    assert.equal((await anneal('resume', 'paused')).out, 'paused: was not paused.\n');
    await hasBegun('two-1');
    const spec = await readSpec(1);
    assert.ok((spec?.preparedAtMs ?? 0) >= resumedMs, 'it was not even prepared before');
    await say('two-1.ends');
    assert.equal(await ended('paused'), 'completed');
    const late = await world.cli(['pause', 'paused']);
    assert.equal(late.code, 2);
    assert.match(late.err, /^InvalidInput: Run "paused" ended at .*nothing left to steer/);
  });

  test('what is set for a step is what its next attempt has, and one that runs keeps what it has', async () => {
    await start('steered', 'changed');
    const attempt = async (number: number) => {
      await hasBegun(`changed-${number}`);
      const { pool, timeoutMs, resources } = (await readSpec(number))?.request ?? {};
      return { pool, timeoutMs, memory: resources?.memory };
    };
    const asked = { pool: 'cpu', timeoutMs: 3_600_000, memory: '100Mi' };
    assert.deepEqual(await attempt(1), asked);

    const top = (await anneal('top', '--json')).document() as Partial<Overview>;
    assert.deepEqual(
      top.pools?.map(({ pool, running, host }) => [pool, running, host]),
      [
        ['big', 0, undefined],
        ['cpu', 1, undefined],
        ['gpu', 0, undefined],
      ],
    );

    const set = async (...change: string[]) => (await anneal('set', 'changed', 'changed', ...change)).out;
    assert.equal(
      await set('--timeout', '2s'),
      'Next attempts of "changed" in changed: timeout 2s. One that runs keeps what it has.\n',
    );
    assert.deepEqual(await attempt(1), asked);
    await say('changed-1.fails');
    // Nobody ends this one but its new time limit.
    assert.deepEqual(await attempt(2), { ...asked, timeoutMs: 2_000 });
    await set('--timeout', '30m', '--memory', '300Mi');
    assert.deepEqual(await attempt(3), { ...asked, timeoutMs: 1_800_000, memory: '300Mi' });
    assert.match(await set('--pool', 'big'), /: timeout 30m, memory 300Mi, pool big\./);
    await say('changed-3.fails');
    assert.deepEqual(await attempt(4), { pool: 'big', timeoutMs: 1_800_000, memory: '300Mi' });
    for (const [change, why] of [
      [['--pool', 'bug'], /"pool" is "bug"; the run has .*Did you mean "big"\?/],
      [['--timeout', 'soon'], /"timeout" is "soon"; it must be a duration/],
      [['--memory', 'much'], /"memory" is "much"; it must be an amount/],
    ] as const) {
      const { code, err } = await world.cli(['set', 'changed', 'changed', ...change]);
      assert.equal(code, 2, err);
      assert.match(err, why);
    }
    await say('changed-4.ends');
    assert.equal(await ended('changed'), 'completed');
    const [call] = await callsOf('changed');
    assert.deepEqual([call?.pool, call?.attempt], ['big', 4]);
    assert.match((await anneal('logs', 'changed')).out, /attempt 2[^]*attempt 4/);
  });

  describe('a backfill', () => {
    const backfill = async (...argv: string[]) =>
      (await anneal('backfill', 'days', ...argv, '--json')).document() as object as Progress;
    const day = (number: number) => `2026-01-0${number}`;
    const range = (from: number, to: number) => ['--from', day(from), '--to', day(to)];
    const underWay = async (days: readonly number[]) =>
      await until(`${days.join(', ')} are under way`, async () => {
        const { running } = await backfill();
        const keys = running.map(({ key }) => key).toSorted();
        return JSON.stringify(keys) === JSON.stringify(days.map(day)) && keys;
      });

    test('takes up a second range while it goes, under one cap, and starts nothing while it is paused', async () => {
      const param = ['--param', `control=${control}`];
      await backfill(...range(1, 3), ...param, '--concurrency', '2');
      await underWay([1, 2]);
      const both = await backfill(...range(3, 5), ...param);
      assert.deepEqual([both.total, both.concurrency], [5, 2], 'a part of both ranges is one part');
      assert.equal((await backfill('--pause')).state, 'paused');
      await say(`${day(1)}.ends`);
      const held = await until('one has ended', async () => {
        const now = await backfill();
        return now.made === 1 && now;
      });
      assert.deepEqual([held.state, held.running.length, held.waiting], ['paused', 1, 3]);
      assert.notEqual((await backfill('--resume')).state, 'paused');
      await underWay([2, 3]);
      assert.ok(!(await seen()).includes(`begins ${day(4)}`));
    });

    test('makes again only what failed', async () => {
      await say(`${day(2)}.fails`);
      for (const number of [3, 4, 5]) await say(`${day(number)}.ends`);
      const done = await until('it has ended', async () => {
        const now = await backfill();
        return now.state === 'completed' && now;
      });
      assert.deepEqual(
        [done.made, done.failed.map(({ key, code }) => [key, code])],
        [4, [[day(2), 'StepFailed']]],
      );
      await rm(path.join(control, `${day(2)}.fails`));
      await say(`${day(2)}.ends`);
      const again = await backfill('--retry-failed', '--wait');
      assert.deepEqual([again.state, again.total, again.made, again.failed], ['completed', 1, 1, []]);
      const runs = (await anneal('list', '--pipeline', 'days', '--json')).list();
      assert.deepEqual(
        runs.map(({ runId, state }) => [runId, state]).toSorted(),
        [1, 2, 3, 4, 5]
          .map((number) => [`backfill/days/${day(number)}`, number === 2 ? 'failed' : 'completed'])
          .concat([[`backfill/days/${day(2)}.r2`, 'completed']])
          .toSorted(),
      );
      assert.equal(mostAtOnce(await seen()), 2, 'the cap holds over both commands');
    });

    test('ends when it is cancelled, with the runs that are under way', async () => {
      const param = ['--param', `control=${control}`];
      await backfill(...range(6, 9), ...param, '--concurrency', '2');
      await underWay([6, 7]);
      await hasBegun(day(6));
      await backfill('--cancel');
      const done = await until('it has ended', async () => {
        const now = await backfill();
        return now.state === 'cancelled' && now;
      });
      assert.deepEqual([done.made, done.cancelled, done.running, done.failed], [0, 4, [], []]);
      for (const number of [6, 7]) assert.equal(await ended(`backfill/days/${day(number)}`), 'cancelled');
      const { code } = await world.cli(['describe', `backfill/days/${day(8)}`]);
      assert.equal(code, 2, 'it was never started');
      assert.deepEqual(await listAttempts(world.paths.attemptsDir), []);
    });
  });

  test('retry of all that failed takes up what was shown, also when another run fails meanwhile', async () => {
    for (const id of ['bad-1', 'bad-2']) {
      await anneal('run', 'breaks', '--id', id);
      assert.equal(await ended(id), 'failed');
    }
    const listed = async () =>
      await until('both are listed', async () => {
        const answer = await world.cli(['retry', '--state', 'failed', '--pipeline', 'breaks']);
        return answer.out.includes('bad-1') && answer.out.includes('bad-2') && answer.out;
      });
    const [, asOf = ''] = /--as-of (\S+) --yes$/m.exec(await listed()) ?? [];
    await anneal('run', 'breaks', '--id', 'bad-3');
    assert.equal(await ended('bad-3'), 'failed');
    await until('the third is listed', async () =>
      (await world.cli(['retry', '--state', 'failed', '--pipeline', 'breaks'])).out.includes('bad-3'),
    );
    const act = ['retry', '--state', 'failed', '--pipeline', 'breaks', '--as-of', asOf, '--yes', '--json'];
    const done = (await anneal(...act)).document();
    const started = done['started'] as { runId: string }[];
    assert.deepEqual(started.map(({ runId }) => runId).toSorted(), ['bad-1.r2', 'bad-2.r2']);
    assert.deepEqual([done['later'], done['refused']], [['bad-3'], []]);
    for (const { runId } of started) await ended(runId);
  });
});

interface Call {
  readonly name: string;
  readonly state: string;
  readonly attempt: number;
  readonly pool?: string;
  readonly startedAtMs: number;
}

interface Progress {
  readonly state: string;
  readonly total: number;
  readonly made: number;
  readonly waiting: number;
  readonly cancelled: number;
  readonly concurrency: number;
  readonly running: readonly { readonly key: string }[];
  readonly failed: readonly { readonly key: string; readonly code: string }[];
}

/** How many days were at work together at most, by what they wrote down. */
function mostAtOnce(lines: readonly string[]): number {
  let [now, most] = [0, 0];
  for (const line of lines.filter((one) => / 2026-/.test(one))) {
    now += line.startsWith('begins') ? 1 : -1;
    most = Math.max(most, now);
  }
  return most;
}

/** Says that it has begun, and goes on until it is told to end or to fail. */
const HOLD =
  'echo "begins $2" >> "$1/seen"; i=0; until [ -e "$1/$2.ends" ]; do [ ! -e "$1/$2.fails" ] || { echo "ends $2" >> "$1/seen"; exit 3; }; i=$((i+1)); [ $i -lt 1200 ] || exit 70; sleep 0.1; done; echo "ends $2" >> "$1/seen"';

const PIPELINES = `
const hold = defineStep({
  name: 'hold',
  inputs: { control: string(), what: string() },
  outputs: {},
  pool: 'cpu',
  stopGrace: '2s',
  command: ({ inputs }) => ['sh', '-c', ${JSON.stringify(`set -- "$1" "$2-$ANNEAL_ATTEMPT"; ${HOLD}`)}, 'sh', inputs.control, inputs.what],
});

const changed = defineStep({
  name: 'changed',
  inputs: { control: string() },
  outputs: {},
  pool: 'cpu',
  timeout: '1h',
  resources: { memory: '100Mi' },
  retry: { attempts: 5, delay: '100ms' },
  stopGrace: '1s',
  command: ({ inputs }) => ['sh', '-c', ${JSON.stringify(`set -- "$1" "changed-$ANNEAL_ATTEMPT"; ${HOLD}`)}, 'sh', inputs.control],
});

const make = defineStep({
  name: 'make',
  inputs: { control: string(), day: string() },
  outputs: {},
  pool: 'cpu',
  stopGrace: '2s',
  command: ({ inputs }) => ['sh', '-c', ${JSON.stringify(HOLD)}, 'sh', inputs.control, inputs.day],
});

export const chain = definePipeline({ name: 'chain', params: { control: string() } }, async ({ control }) => {
  await hold({ control, what: 'one' }, { name: 'one' });
  await hold({ control, what: 'two' }, { name: 'two' });
});

export const steered = definePipeline({ name: 'steered', params: { control: string() } }, async ({ control }) => {
  await changed({ control });
});

export const days = definePipeline(
  { name: 'days', params: { day: string(), control: string() }, partition: { by: 'day', parameter: 'day' } },
  async ({ day, control }) => {
    await make({ control, day });
  },
);
`;
