import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createAnnealClient, type AnnealClient, type CommandStepOptions } from '../../src/client/index.js';
import { setRate } from './training-commands.js';
import { PROJECT, startHarness, succeeded, type Harness } from './harness.js';
import { until } from '../system/support/until.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];

describe(
  'commands to running steps on the dev server',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let h: Harness;
    let client: AnnealClient;
    let letGo: (() => void)[];
    before(async () => {
      const folder = path.dirname(fileURLToPath(import.meta.url));
      h = await startHarness(cli ?? '', { workflowsPath: path.join(folder, 'command-pipelines.ts') });
      client = createAnnealClient({ temporal: h.client, project: PROJECT });
    });
    after(async () => {
      await h.close();
    });
    beforeEach(() => {
      h.attempts.length = 0;
      h.commands.length = 0;
      letGo = [];
      h.command = () => ({ state: 'delivered', number: 1 });
      h.script = async (request) => {
        await new Promise<void>((resolve) => letGo.push(resolve));
        return succeeded(request);
      };
    });

    const start = async (pipeline: string, id: string) => {
      const handle = await h.start(pipeline, {}, id);
      await until('both steps run', () => letGo.length === 2);
      return handle;
    };
    const send = async (runId: string, options: Partial<CommandStepOptions>) =>
      await client.command(runId, { step: 'train', command: 'stop-early', by: 'ana', ...options });

    test('are checked like parameters before they enter the history, and answered', async () => {
      const handle = await start('training', 'commanded');
      const refused: [Partial<CommandStepOptions>, RegExp][] = [
        [{ command: 'stop-erly' }, /takes no command "stop-erly"; .* Did you mean "stop-early"\?/],
        [{ command: 'set-learning-rate' }, /Parameter "rate" of command "set-learning-rate" is missing/],
        [{ command: 'set-learning-rate', parameters: { rate: 2 } }, /is 2; it must be a number from 0 to 1/],
        [{ parameters: { why: 'x' } }, /Command "stop-early" has no parameter "why"/],
        [
          { step: 'plain' },
          /No attempt of a step "plain" that takes commands runs in this run; these do: "train"/,
        ],
        [{ id: '../up' }, /needs "id"/],
        [{ by: '' }, /needs "by"/],
      ];
      for (const [options, why] of refused) await assert.rejects(send('commanded', options), why);
      assert.equal(h.commands.length, 0);

      h.command = ({ command }) => ({ state: 'answered', number: 1, answer: command.parameters });
      const { commandName } = setRate;
      const set = {
        step: 'train',
        command: setRate,
        parameters: { rate: 0.1 },
        by: 'ana',
        id: 'one',
      } as const;
      const answer = await client.command('commanded', set);
      assert.deepEqual(answer, { state: 'answered', number: 1, answer: { rate: 0.1 } });
      assert.deepEqual(await client.command('commanded', set), answer, 'the same id is carried out once');
      assert.equal(h.commands.length, 1);
      assert.deepEqual(
        h.commands.map(({ attempt, command }) => [
          attempt.step,
          attempt.attempt,
          command.command,
          command.signal,
        ]),
        [['train', 1, commandName, 'SIGUSR1']],
      );
      assert.ok(h.attempts.find(({ step }) => step === 'train')?.takesCommands);
      assert.equal(h.attempts.find(({ step }) => step === 'plain')?.takesCommands, undefined);

      const { commands = [] } = await client.status('commanded');
      assert.deepEqual(
        commands.map(({ step, command, by, parameters }) => [step, command, by, parameters]),
        [['train', 'set-learning-rate', 'ana', { rate: 0.1 }]],
      );
      for (const go of letGo) go();
      assert.equal(await handle.result(), 'trained');
      await assert.rejects(send('commanded', {}), /ended at .* there is nothing left to steer/);
    });

    test('are refused when the attempt has ended, as its run sees it or as its machine does', async () => {
      const handle = await start('training', 'over');
      h.command = () => ({ state: 'ended' });
      await assert.rejects(send('over', {}), /The attempt of "train" has ended; nothing was delivered/);
      assert.equal((await client.status('over')).commands, undefined);
      const at = h.attempts.findIndex(({ step }) => step === 'train');
      letGo[at]?.();
      await until('the training has ended', async () => (await client.status('over')).counts.succeeded === 1);
      await assert.rejects(send('over', {}), /No attempt of a step "train" that takes commands runs/);
      for (const go of letGo) go();
      await handle.result();
    });

    test('go to one call of a step, by the name of the call where there are several', async () => {
      const handle = await start('twins', 'twins');
      await assert.rejects(send('twins', {}), /2 calls of "train" run, and a command is for one/);
      await send('twins', { step: 'right' });
      const { callId } = h.commands[0]?.attempt ?? {};
      const { calls } = await client.status('twins');
      assert.equal(calls.find(({ id }) => id === callId)?.name, 'right');
      for (const go of letGo) go();
      await handle.result();
    });
  },
);
