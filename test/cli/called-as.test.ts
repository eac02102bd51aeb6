import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { readCalledAs } from '../../src/cli/called-as.js';
import { cli } from './fake-cli.js';

describe('how the command is written in texts', () => {
  test('is its name alone only where it is a program on PATH', () => {
    assert.equal(readCalledAs('/usr/local/bin/anneal', {}), 'anneal');
    assert.equal(readCalledAs('/usr/local/bin/anneal', { npm_command: 'exec' }), 'npx anneal');
    assert.equal(readCalledAs('/p/node_modules/.bin/anneal', {}), 'npx anneal');
    assert.equal(readCalledAs('/p/dist/cli/main.js', {}), 'npx anneal');
  });

  test('is with npx in answers, errors, help and JSON, where only npx finds it', async () => {
    const setting = {
      calledAs: 'npx anneal',
      client: { list: async () => await Promise.resolve([]) },
    } as const;
    assert.equal((await cli(['list'], setting)).out, 'No runs. Start one with: npx anneal run PIPELINE\n');
    const wrong = await cli(['rnu'], setting);
    assert.match(wrong.err, /Did you mean run\? See: npx anneal --help\n$/);
    const { error } = (await cli(['rnu', '--json'], setting)).document() as { error: { message: string } };
    assert.match(error.message, /See: npx anneal --help$/);
    const help = (await cli(['run', '--help'], setting)).out;
    assert.match(help, /^Usage: npx anneal run /);
    assert.match(help, /\$ npx anneal run churn-training/);
  });

  test('leaves other words that look like it alone', async () => {
    const { out } = await cli(['--help'], { calledAs: 'npx anneal' });
    assert.match(out, /anneal\.yaml|\$ npx anneal up/);
    assert.doesNotMatch(out, /npx npx/);
  });
});
