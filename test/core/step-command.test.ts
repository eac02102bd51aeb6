import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkCommand, problemOfRequest, type CommandDefinition } from '../../src/core/step-command.js';

const request = { step: 'train', command: 'stop-early', by: 'ana', id: 'a1-_B' };

describe('a command to a running step', () => {
  test('names the step, itself and the sender, in 1 to 200 characters', () => {
    assert.equal(problemOfRequest(request), undefined);
    assert.equal(problemOfRequest({ ...request, step: 'x'.repeat(200) }), undefined);
    for (const name of ['step', 'command', 'by'])
      for (const wrong of ['', 'x'.repeat(201), 7, undefined])
        assert.equal(
          problemOfRequest({ ...request, [name]: wrong }),
          `A command needs "${name}", a text of 1 to 200 characters.`,
        );
    for (const wrong of [undefined, null, 'stop-early'])
      assert.match(problemOfRequest(wrong) ?? '', /^A command needs "step"/);
  });

  test('has an id that is part of a file name', () => {
    assert.equal(problemOfRequest({ ...request, id: 'x'.repeat(64) }), undefined);
    for (const id of ['', '-a', '_a', 'a/b', 'a b', '../a', 'x'.repeat(65), 7, undefined])
      assert.equal(
        problemOfRequest({ ...request, id }),
        'A command needs "id": 1 to 64 letters, digits, "-" or "_". The same id sent again is carried out once.',
      );
  });

  test('is one that the step takes, with its parameters', () => {
    const definition: CommandDefinition = {
      name: 'set-rate',
      params: { rate: { type: 'number', min: 0 }, warm: { type: 'boolean', default: true } },
      answerWithin: '10s',
    };
    const known = [definition, { name: 'stop-early', params: {}, answerWithin: '1s' }];
    assert.deepEqual(checkCommand('train', known, { command: 'set-rate', parameters: { rate: 0.1 } }), {
      ok: true,
      definition,
      values: { rate: 0.1, warm: true },
    });
    const problem = (command: string, of: readonly CommandDefinition[], parameters = {}) => {
      const checked = checkCommand('train', of, { command, parameters });
      return checked.ok ? undefined : checked.problem;
    };
    assert.equal(problem('stop-early', []), 'Step "train" takes no commands; it declares none.');
    assert.match(
      problem('set-rat', known) ?? '',
      /^Step "train" takes no command "set-rat"; it takes "set-rate", "stop-early"\..*set-rate/,
    );
    assert.match(problem('set-rate', known, { rate: -1, more: 2 }) ?? '', /rate.*more|more.*rate/);
  });
});
