import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { cli } from './fake-cli.js';

describe('anneal init', () => {
  test('makes a project and never overwrites one', async (t) => {
    const cwd = await temporaryDirectory(t);
    const first = await cli(['init', 'My Project'], { cwd });
    assert.equal(first.code, 0);
    assert.match(
      first.out,
      /tests.* need the package[^]*npm pack .*\n {2}cd 'My Project' && npm install .*\.tgz && npm test/,
    );
    assert.deepEqual((await readdir(path.join(cwd, 'My Project'))).sort(), [
      '.gitignore',
      'anneal.yaml',
      'package.json',
      'pipelines',
      'steps',
      'test',
      'tsconfig.json',
    ]);
    assert.match(
      await readFile(path.join(cwd, 'My Project', 'anneal.yaml'), 'utf8'),
      /^project: my-project$/m,
    );
    const second = await cli(['init', 'My Project'], { cwd });
    assert.equal(second.code, 2);
    assert.match(second.err, /is not empty .*nothing is ever overwritten/);
  });

  test('--from a script reads its argparse without running it', async (t) => {
    const cwd = await temporaryDirectory(t);
    const script = [
      'import argparse, sys',
      'p = argparse.ArgumentParser()',
      'p.add_argument("--learning-rate", "-l", type=float, default=0.1)',
      'p.add_argument("--epochs", type=int)',
      'p.add_argument("--kind", choices=["a", "b"], default="a")',
      'p.add_argument("--verbose", action="store_true")',
      'p.add_argument("--model-dir")',
      'p.add_argument("--resume")',
      'open("ran", "w")',
    ].join('\n');
    await writeFile(path.join(cwd, 'fit.py'), script);
    assert.equal((await cli(['init', 'p', '--from', 'fit.py'], { cwd })).code, 0);
    const pipeline = await readFile(path.join(cwd, 'p', 'pipelines', 'index.ts'), 'utf8');
    for (const line of [
      'learningRate: number({ default: 0.1 }),',
      'epochs: integer(),',
      'kind: string({ oneOf: ["a","b"], default: "a" }),',
      'verbose: boolean({ default: false }),',
      'outputs: { modelDir: model() },',
      '"--learning-rate", inputs.learningRate,',
      '...(inputs.verbose ? ["--verbose"] : []),',
      '"--model-dir", outputs.modelDir.path,',
      `...(inputs.resume === '' ? [] : ["--resume", inputs.resume]),`,
      'await fitStep({ learningRate, epochs, kind, verbose, resume });',
    ])
      assert.ok(pipeline.includes(line), `${line} is not in\n${pipeline}`);
    assert.equal(await readFile(path.join(cwd, 'p', 'steps', 'fit.py'), 'utf8'), script);
    assert.deepEqual((await readdir(cwd)).sort(), ['fit.py', 'p']);
  });

  test('--from a notebook takes the cell tagged parameters and keeps the executed notebook as a report', async (t) => {
    const cwd = await temporaryDirectory(t);
    const cell = {
      cell_type: 'code',
      metadata: { tags: ['parameters'] },
      source: ['learning_rate = 0.1  # of the fit\n', "name = 'x'\n", 'deep = True\n', 'rows = len(data)\n'],
    };
    await writeFile(path.join(cwd, 'eda.ipynb'), JSON.stringify({ nbformat: 4, cells: [cell] }));
    assert.equal((await cli(['init', 'p', '--from', 'eda.ipynb'], { cwd })).code, 0);
    const pipeline = await readFile(path.join(cwd, 'p', 'pipelines', 'index.ts'), 'utf8');
    for (const line of [
      'learningRate: number({ default: 0.1 }), name: string({ default: "x" }), deep: boolean({ default: true }) }',
      'outputs: { notebook: report() }',
      "'-p', 'learning_rate', inputs.learningRate,",
      "'-r', 'name', inputs.name,",
    ])
      assert.ok(pipeline.includes(line), `${line} is not in\n${pipeline}`);
    assert.ok(!pipeline.includes('rows'));
  });

  test('--from something else says what it takes', async (t) => {
    const cwd = await temporaryDirectory(t);
    const { code, err } = await cli(['init', 'p', '--from', 'gone.py'], { cwd });
    assert.equal(code, 2);
    assert.match(err, /--from .*gone\.py cannot be read .*Name a train\.py or a notebook\.ipynb/);
  });
});

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-init-'));
  t.after(async () => await rm(directory, { recursive: true }));
  return directory;
}
