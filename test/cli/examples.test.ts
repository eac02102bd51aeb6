import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command as Commander } from 'commander';
import { createProgram } from '../../src/cli/program.js';

test('the help of every command has examples that begin with the command', () => {
  const look = (command: Commander, words: readonly string[]) => {
    if (command.commands.length > 0) {
      for (const below of command.commands) look(below, [...words, below.name()]);
      return;
    }
    let text = '';
    command.configureOutput({ writeOut: (more) => void (text += more) });
    command.outputHelp();
    assert.match(text, new RegExp(`Examples?:\\s+.*${words.join(' ')}`), words.join(' '));
  };
  look(
    createProgram(async () => await Promise.resolve(), '1'),
    ['anneal'],
  );
});
