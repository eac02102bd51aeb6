import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findPython } from '../../src/adapters/find-python.js';
import type { RunProgram } from '../../src/adapters/run-program.js';

describe('the interpreter of a Python environment', () => {
  /** Programs by name, with their versions. */
  const find = async (programs: { readonly [name: string]: string }, set?: string, version?: string) => {
    const run: RunProgram = async ({ file }) => {
      const found = programs[file];
      const stdout = found === undefined ? '' : `/bin/${file}\n${found}\n`;
      return await Promise.resolve({ code: found === undefined ? 127 : 0, stdout, stderr: '' });
    };
    const env = set === undefined ? {} : { ANNEAL_PYTHON: set };
    return (await findPython({ run, env, ...(version === undefined ? {} : { version }) })).executable;
  };
  const path = { python3: '3.12.1', 'python3.11': '3.11.7' };

  test('is the one that is set, where that fits', async () => {
    assert.equal(await find({ ...path, mine: '3.11.2' }, 'mine'), '/bin/mine');
    assert.equal(await find({ ...path, mine: '3.11.2' }, 'mine', '3.11'), '/bin/mine');
  });

  test('is another one on PATH for a step that asks for another version than that of the set one', async () => {
    assert.equal(await find({ ...path, mine: '3.13.0' }, 'mine', '3.11'), '/bin/python3.11');
    assert.equal(await find(path, '', '3.12'), '/bin/python3');
  });

  test('is no other than the set one where any version would do', async () => {
    await assert.rejects(
      find({ ...path, mine: '3.8.0' }, 'mine'),
      /found 3\.8\.0 at \/bin\/mine\. Install it, or set/,
    );
    await assert.rejects(find(path, 'gone'), /found none at gone\. Install/);
  });

  test('that is nowhere is told with where it was looked for', async () => {
    await assert.rejects(
      find({}, 'gone', '3.11'),
      /^SetupError: Python 3\.11 is needed, found none at gone or on PATH\./,
    );
    await assert.rejects(find({}), /found none on PATH/);
  });
});
