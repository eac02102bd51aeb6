import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import type { AttemptCommand } from '../../src/core/step-command.js';
import { createAttemptWorld, eventually } from './attempt-world.js';
import { buildLaunch, dataset, output, recordWatch, sh, succeeded } from './contract.js';

/** A training that notes each command in a file, answers, and ends after `stop-early`. */
const TRAINING = `
const { readdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const directory = process.env.ANNEAL_COMMANDS_DIR;
const [notes] = process.argv.slice(1);
const seen = [];
const look = () => {
  for (const name of readdirSync(directory).filter((file) => /^\\d{6}-.*\\.json$/.test(file)).sort()) {
    if (seen.includes(name)) continue;
    seen.push(name);
    const { number, command, parameters } = JSON.parse(readFileSync(directory + '/' + name, 'utf8'));
    writeFileSync(notes, seen.join('\\n'));
    if (command === 'quiet') continue;
    const file = directory + '/' + String(number).padStart(6, '0') + '.answer.json';
    writeFileSync(file + '.tmp', JSON.stringify({ did: command, ...parameters }));
    renameSync(file + '.tmp', file);
    if (command === 'stop-early') setTimeout(() => process.exit(0), 300);
  }
};
setTimeout(() => process.exit(7), 30000);
setInterval(look, 50);
console.log('begun');
`;

describe('process executor: commands', () => {
  const world = createAttemptWorld();
  let commands = 0;
  const command = (name: string, more: Partial<AttemptCommand> = {}): AttemptCommand => ({
    id: `id-${commands++}`,
    command: name,
    parameters: {},
    by: 'ana',
    atMs: Date.now(),
    ...more,
  });
  const launchTraining = (name: string): { launch: AttemptLaunch; notes: string } => {
    const notes = path.join(world.root, `${name}.notes`);
    return {
      launch: buildLaunch({ command: [process.execPath, '-e', TRAINING, notes], takesCommands: true }, name),
      notes,
    };
  };
  const send = async (launch: AttemptLaunch, sent: AttemptCommand, withinMs = 10_000) =>
    await world.createExecutor().command?.(launch.name, sent, {
      executionId: launch.request.executionId,
      withinMs,
      signal: new AbortController().signal,
    });

  test('arrive numbered and whole, in order, each once, and are answered', async () => {
    const { launch, notes } = launchTraining('commanded');
    const running = world.createExecutor().run(launch, recordWatch().watch);
    await world.hasLogged(launch, 'begun');
    const rate = command('set-learning-rate', { parameters: { rate: 0.01 } });
    const answer = { state: 'answered', number: 1, answer: { did: 'set-learning-rate', rate: 0.01 } };
    assert.deepEqual(await send(launch, rate), answer);
    assert.deepEqual(await send(launch, rate), answer, 'the same command sent again');
    assert.deepEqual(await send(launch, command('quiet'), 1_500), { state: 'delivered', number: 2 });
    assert.deepEqual(await send(launch, command('stop-early')), {
      ...{ state: 'answered', number: 3, answer: { did: 'stop-early' } },
    });
    assert.equal((await running).kind, 'succeeded');
    assert.equal(
      await readFile(notes, 'utf8'),
      '000001-set-learning-rate.json\n000002-quiet.json\n000003-stop-early.json',
    );
    assert.deepEqual(await send(launch, command('stop-early')), { state: 'ended' });
  });

  test('are told by SIGUSR1 where asked, once the command handles it: one that does not is not killed by it', async () => {
    const launch = buildLaunch(
      {
        command: sh(
          'echo begun; sleep 0.7; trap "handled=1" USR1; until [ "$handled" ]; do sleep 0.05; done; ',
          'printf \'"stopping"\' > "$ANNEAL_COMMANDS_DIR/000001.answer.json"',
        ),
        takesCommands: true,
      },
      'signalled',
    );
    const running = world.createExecutor().run(launch, recordWatch().watch);
    await world.hasLogged(launch, 'begun');
    const answer = await send(launch, command('stop-early', { signal: 'SIGUSR1' }));
    assert.deepEqual(answer, { state: 'answered', number: 1, answer: 'stopping' });
    assert.equal((await running).kind, 'succeeded');
  });

  test('a command that takes none has no directory for them', async () => {
    const launch = buildLaunch({
      command: sh('echo "${ANNEAL_COMMANDS_DIR-none}" > ', output('said')),
      outputs: { said: dataset },
    });
    const outcome = succeeded(await world.createExecutor().run(launch, recordWatch().watch));
    assert.equal(await world.readOutput(outcome, 'said'), 'none\n');
  });

  test('survive a supervisor that has delivered before', async () => {
    const { keepDelivering } = await import('../../src/agent/deliver-commands.js');
    const directory = path.join(world.root, 'commands');
    const told: [string, number][] = [];
    const asked = [command('one'), command('two')];
    const start = async () =>
      await keepDelivering({
        directory,
        tell: async () => await Promise.resolve(true),
        inbox: {
          read: async () => await Promise.resolve(asked),
          delivered: async (id, number) =>
            void told.push(await Promise.resolve([id, number] as [string, number])),
          answered: async () => await Promise.resolve(),
        },
      });
    const first = await start();
    await eventually('both are delivered', async () => await Promise.resolve(told.length === 2));
    await first.end();
    asked.push(command('three'));
    await writeFile(path.join(directory, '000002.answer.json'), '1');
    const second = await start();
    await eventually('the third is delivered', async () => await Promise.resolve(told.length === 3));
    await second.end();
    assert.deepEqual(
      told.map(([, number]) => number),
      [1, 2, 3],
    );
  });
});
