import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commandEndMark, readCommandEndMark } from '../../src/core/command-end-mark.js';
import { readLastMessage, toLastMessage } from '../../src/core/pod-last-message.js';
import { programFault, programFaultOfLog, programFaultSentence } from '../../src/core/program-fault.js';

test('the end of a command is read from its mark, and from nothing else', () => {
  assert.equal(commandEndMark(17), '\n{"commandEndedAtMs":17}\n');
  assert.equal(readCommandEndMark(commandEndMark(1_795_000_000_000)), 1_795_000_000_000);
  for (const other of [
    '{"commandEndedAtMs":17}\n',
    '\n{"commandEndedAtMs":17}',
    'x\n{"commandEndedAtMs":17}\n',
    '\n{"commandEndedAtMs":17}\n\n',
    '\n{"commandEndedAtMs":-1}\n',
    '\n{"commandEndedAtMs":}\n',
    `\n{"commandEndedAtMs":${'1'.repeat(16)}}\n`,
  ])
    assert.equal(readCommandEndMark(other), undefined, JSON.stringify(other));
});

describe("a container's last message", () => {
  test('carries a failure whole, to 2,000 characters', () => {
    const failure = { code: 'InputMissing', message: 'It is gone.\nRun it again.' } as const;
    assert.equal(toLastMessage(failure), 'InputMissing: It is gone.\nRun it again.');
    assert.deepEqual(readLastMessage(` ${toLastMessage(failure)}\n`), failure);
    assert.equal(toLastMessage({ code: 'Unknown', message: 'x'.repeat(3_000) }).length, 2_000);
  });

  test('of another kind is none', () => {
    for (const text of [
      '',
      'InputMissing',
      'InputMissing: ',
      'NoSuchCode: it',
      'see InputMissing: it',
      'a: b',
    ])
      assert.equal(readLastMessage(text), undefined, text);
  });
});

describe('a fault of a program of ours', () => {
  test('is an error of its code, not of a connection', () => {
    for (const made of [TypeError, ReferenceError, SyntaxError, RangeError])
      assert.equal(programFault(new made('broken')), `${made.name}: broken`);
    for (const other of [new Error('no'), new TypeError('fetch failed', { cause: 1 }), 'TypeError: x', null])
      assert.equal(programFault(other), undefined);
    const named = new Error('x');
    for (const name of ['MyTypeError', 'TypeErrors']) {
      named.name = name;
      assert.equal(programFault(named), undefined);
    }
  });

  test('is the line of its log that names it, where Node broke off', () => {
    const log = (...lines: readonly string[]) => programFaultOfLog(`${lines.join('\n')}\n\n`);
    const fault = 'TypeError: x is not a function';
    assert.equal(log('begins', fault, '    at y', 'Node.js v20.20.2'), fault);
    assert.equal(log('begins', fault, '    at y'), undefined);
    assert.equal(log(fault, 'on Node.js v20.20.2'), undefined);
    assert.equal(log('TypeErrors: x', ` ${fault}`, 'Node.js v20.20.2'), undefined);
    assert.equal(log('TypeError: fetch failed', 'Node.js v20.20.2'), undefined);
    for (const missing of [
      "Error: Cannot find module './x.js'",
      "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'zod'",
    ])
      assert.equal(log(missing, 'Node.js v20.20.2'), missing);
    assert.equal(log("An Error: Cannot find module 'x'", 'Node.js v20.20.2'), undefined);
    assert.equal(log('Error: other', 'Node.js v20.20.2'), undefined);
    assert.equal(programFaultOfLog(''), undefined);
  });

  test('is told with the mend', () => {
    const sentence = programFaultSentence('agent', 'TypeError: x.');
    assert.equal(
      sentence,
      'Anneal\'s own program in container "agent" of its pod broke off (TypeError: x). It is most likely not of this worker\'s version: put the image of that version into kubernetes.image of anneal.yaml.',
    );
  });
});
