import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { until } from './support/until.js';

const RUN = 'steered run';

describe('anneal command and a training that runs', () => {
  let world: DeskWorld;
  let control: string;
  before(async () => {
    world = await startDeskWorld();
    await mkdir(path.join(world.root, 'steps'));
    await writeFile(path.join(world.root, 'steps/train.mjs'), TRAIN);
    await appendFile(path.join(world.root, 'pipelines/index.ts'), PIPELINE);
    await world.startWorker();
    control = path.join(world.root, 'control');
    await mkdir(control);
    const started = await world.cli(['run', 'steered', '--param', `control=${control}`, '--id', RUN]);
    assert.equal(started.code, 0, started.err);
    await until('the training and the plain step run', async () => {
      const { calls } = (await world.cli(['describe', RUN, '--json'])).document();
      const running = (calls as { state: string }[]).filter(({ state }) => state === 'running');
      return running.length === 2 && (await seen()).includes('ready');
    });
  });
  after(async () => {
    await world.close();
  });

  /** What the training wrote down, a line each. */
  const seen = async () =>
    (await readFile(path.join(control, 'seen'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const send = async (...argv: string[]) => await world.cli(['command', RUN, ...argv]);
  const setRate = (rate: string) => ['train', 'set-rate', '--param', `rate=${rate}`];

  test('is carried out, and the step answers, in text and with --json', async () => {
    const program = world.spawn('command', RUN, ...setRate('0.25'));
    assert.equal((await program.exited()).code, 0, program.output());
    assert.equal(program.output(), '"train" answers to set-rate: {"was":{"rate":0.25}}\n');

    const { code, document } = await send('train', 'stop-early', '--json');
    assert.equal(code, 0);
    assert.deepEqual(document(), {
      runId: RUN,
      step: 'train',
      command: 'stop-early',
      state: 'answered',
      number: 2,
      answer: { was: {} },
    });
    const { commands } = (await world.cli(['describe', RUN, '--json'])).document();
    assert.deepEqual(
      (commands as { command: string; parameters: object }[]).map((one) => [one.command, one.parameters]),
      [
        ['set-rate', { rate: 0.25 }],
        ['stop-early', {}],
      ],
    );
  });

  test('reaches by SIGUSR1 a step that looks only then, once however often its id is sent', async () => {
    const before = await seen();
    const first = await send('train', 'checkpoint-now', '--id', 'once');
    assert.deepEqual([first.code, first.err], [0, '']);
    assert.match(first.out, /^"train" answers to checkpoint-now: \{"was":\{\}\}\n$/);
    const second = await send('train', 'checkpoint-now', '--id', 'once');
    assert.deepEqual([second.code, second.out], [0, first.out]);
    assert.deepEqual((await seen()).slice(before.length), ['signal', 'checkpoint-now']);
  });

  test('is refused with one sentence and 2 where it does not fit, and the training never sees it', async () => {
    const before = await seen();
    const cases: readonly [readonly string[], RegExp][] = [
      [['train', 'stop-erly'], /takes no command "stop-erly"; it takes .* Did you mean "stop-early"\?/],
      [setRate('2'), /Parameter "rate" of command "set-rate" is 2; it must be a number from 0 to 1/],
      [setRate('fast'), /Parameter "rate" of command "set-rate" is "fast"/],
      [['train', 'set-rate'], /Parameter "rate" of command "set-rate" is missing/],
      [['train', 'stop-early', '--param', 'why=x'], /Command "stop-early" has no parameter "why"/],
      [['plain', 'stop-early'], /No attempt of a step "plain" that takes commands runs/],
      [['trian', 'stop-early'], /No attempt of a step "trian" that takes commands runs.*"train"/],
    ];
    for (const [argv, why] of cases) {
      const { code, out, err } = await send(...argv);
      assert.deepEqual([code, out], [2, ''], `${argv.join(' ')}: ${err}`);
      assert.match(err, /^InvalidInput: [^\n]+\n$/);
      assert.match(err, why);
    }
    const shapeless = await send('train', 'set-rate', '--param', 'rate');
    assert.equal(shapeless.code, 2);
    assert.match(shapeless.err, /^InvalidCommand: [^\n]*--param name=value\.\n$/);
    const refused = await send('train', 'stop-erly', '--json');
    assert.equal(refused.code, 2);
    assert.equal((refused.document()['error'] as { code: string }).code, 'InvalidInput');
    const nowhere = await world.cli(['command', 'steered rum', 'train', 'stop-early']);
    assert.equal(nowhere.code, 2);
    assert.match(nowhere.err, /^RunNotFound: [^\n]+\n$/);
    assert.deepEqual(await seen(), before);
  });

  test('is refused for a run that is over, which has lost nothing by its commands', async () => {
    await writeFile(path.join(control, 'finish'), '');
    const state = await until('the run is over', async () => {
      const described = (await world.cli(['describe', RUN, '--json'])).document();
      return described['state'] === 'running' ? undefined : described['state'];
    });
    assert.equal(state, 'completed');
    const { code, err } = await send('train', 'stop-early');
    assert.equal(code, 2);
    assert.match(err, /^InvalidInput: [^\n]*ended at [^\n]*there is nothing left to steer[^\n]*\n$/);
    assert.equal((await seen()).at(-1), 'finished');
    assert.equal((await seen()).filter((line) => line === 'ready').length, 1, 'one attempt did it all');
  });
});

const PIPELINE = `
import { defineCommand, number } from 'anneal';

const setRate = defineCommand({ name: 'set-rate', params: { rate: number({ min: 0, max: 1 }) } });
const stopEarly = defineCommand({ name: 'stop-early' });
const checkpointNow = defineCommand({ name: 'checkpoint-now', signal: 'SIGUSR1' });

const train = defineStep({
  name: 'train',
  code: 'steps/train.mjs',
  inputs: { control: string() },
  outputs: {},
  stopGrace: '2s',
  commands: [setRate, stopEarly, checkpointNow],
  command: ({ inputs }) => [${JSON.stringify(process.execPath)}, 'train.mjs', inputs.control],
});

const plain = defineStep({
  name: 'plain',
  inputs: { control: string() },
  outputs: {},
  stopGrace: '2s',
  command: ({ inputs }) => ['sh', '-c', 'i=0; until [ -e "$1/finish" ]; do i=$((i+1)); [ $i -lt 1200 ] || exit 70; sleep 0.1; done', 'sh', inputs.control],
});

export const steered = definePipeline({ name: 'steered', params: { control: string() } }, async ({ control }) => {
  await Promise.all([train({ control }), plain({ control })]);
});
`;

/** Looks by itself for all commands but `checkpoint-now`, which it takes by the signal alone. */
const TRAIN = `import { appendFileSync, existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
const folder = process.env.ANNEAL_COMMANDS_DIR;
const control = process.argv[2];
const note = (line) => appendFileSync(control + '/seen', line + '\\n');
const done = new Set();
const look = (signalled) => {
  for (const name of readdirSync(folder).filter((name) => /^\\d{6}-.*\\.json$/.test(name)).sort()) {
    if (done.has(name) || name.includes('checkpoint-now') !== signalled) continue;
    done.add(name);
    const { number, command, parameters } = JSON.parse(readFileSync(folder + '/' + name, 'utf8'));
    note(command);
    const answer = folder + '/' + String(number).padStart(6, '0') + '.answer.json';
    writeFileSync(answer + '.tmp', JSON.stringify({ was: parameters }));
    renameSync(answer + '.tmp', answer);
  }
};
process.on('SIGUSR1', () => {
  note('signal');
  look(true);
});
note('ready');
const giveUpAt = Date.now() + 180_000;
const timer = setInterval(() => {
  if (Date.now() > giveUpAt) process.exit(70);
  look(false);
  if (!existsSync(control + '/finish')) return;
  clearInterval(timer);
  note('finished');
}, 50);
`;
