import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { readJson } from '../../src/adapters/attempt-files/json-file.js';
import { attemptPaths, listAttempts } from '../../src/adapters/process-executor/attempt-directory.js';
import type { CommandRecord } from '../../src/adapters/process-executor/attempt-spec.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { extractBlocks, root } from '../docs/extract-blocks.js';
import { until } from './support/until.js';

const python = process.env['ANNEAL_TEST_PYTHON'];
const skip = python === undefined && 'there is no Python (ANNEAL_TEST_PYTHON)';
const PAGE = 'docs/step-contract.md';

describe('the training of the docs that lets people extend its budget', { skip }, () => {
  let world: DeskWorld;
  before(async () => {
    world = await startDeskWorld();
    const page = { path: PAGE, text: await readFile(path.join(root, PAGE), 'utf8') };
    const [example, ...others] = extractBlocks(page).filter(({ name }) => name === 'train.py');
    assert.deepEqual(others, []);
    await mkdir(path.join(world.root, 'steps'));
    await writeFile(path.join(world.root, 'steps/train.py'), example?.code ?? '');
    await appendFile(path.join(world.root, 'pipelines/index.ts'), PIPELINE);
    await world.startWorker();
  });
  after(async () => {
    await world.close();
  });

  test('takes more epochs and minutes, answers what it has then, and keeps them over the death of its process', async () => {
    const { code, err } = await world.cli(['run', 'budgeted', '--id', 'extended']);
    assert.equal(code, 0, err);
    const send = async (...params: string[]) =>
      await world.cli([
        ...['command', 'extended', 'train', 'extend-budget', '--json'],
        ...params.flatMap((param) => ['--param', param]),
      ]);
    const { document } = await until('it takes commands', async () => {
      const sent = await send('epochs=3', 'minutes=90');
      return sent.code === 0 && sent;
    });
    const { answer, state } = document() as { state: string; answer: Answer };
    assert.equal(state, 'answered');
    assert.equal(answer.epochs, EPOCHS + 3);
    assert.ok(answer.minutes_left > 119 && answer.minutes_left <= 120, `${answer.minutes_left} minutes`);
    assert.ok(answer.epoch < EPOCHS);

    const refused = await send('epochs=2000');
    assert.equal(refused.code, 2);
    assert.match(refused.out, /Parameter \\"epochs\\" of command \\"extend-budget\\" is 2000/);

    const [name = ''] = await listAttempts(world.paths.attemptsDir);
    const record = await readJson<CommandRecord>(attemptPaths(world.paths.attemptsDir, name).command);
    assert.ok(record, 'it runs');
    process.kill(record.identity.pid, 'SIGKILL');
    const report = await until('the run has ended', async () => {
      const described = (await world.cli(['describe', 'extended', '--json'])).document();
      return described['state'] !== 'running' && described;
    });
    assert.deepEqual([report['state'], report['result']], ['completed', { epochs: EPOCHS + 3 }]);
    assert.equal((report['calls'] as { attempt: number }[])[0]?.attempt, 2);
  });
});

interface Answer {
  readonly epoch: number;
  readonly epochs: number;
  readonly minutes_left: number;
}

/** Of half a second each. */
const EPOCHS = 12;

const PIPELINE = `
import { defineCommand, metrics, number } from 'anneal';

const extendBudget = defineCommand({
  name: 'extend-budget',
  params: { epochs: integer({ min: 0, max: 1000, default: 0 }), minutes: number({ min: 0, max: 600, default: 0 }) },
});

const train = defineStep({
  name: 'train',
  code: 'steps/train.py',
  inputs: {},
  outputs: { trained: metrics({ epochs: 'number' }) },
  retry: { attempts: 2, delay: '100ms' },
  commands: [extendBudget],
  command: ({ outputs }) => [${JSON.stringify(python ?? '')}, 'train.py', '${EPOCHS}', '30', outputs.trained.path],
});

export const budgeted = definePipeline({ name: 'budgeted' }, async () => {
  const { trained } = await train({});
  return { epochs: trained.values.epochs };
});
`;
