import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

import type { InstallDeps } from '../../src/adapters/pinned-tool.js';
import { ensurePythonEnvironment, environmentKey } from '../../src/adapters/python-environment.js';
import type { Program, ProgramResult } from '../../src/adapters/run-program.js';

const PYTHON = { executable: '/usr/bin/python3', version: '3.11.7' };
const LOCK = 'numpy==2.0.0 \\\n    --hash=sha256:00\n';
const OK: ProgramResult = { code: 0, stdout: '', stderr: '' };
const exists = async (file: string) =>
  await access(file).then(
    () => true,
    () => false,
  );

/** Plays uv, venv, pip and the interpreter of an environment; `fail` decides which call goes wrong, and how. */
function createMachine(fail: (call: string) => string | undefined = () => undefined) {
  const calls: string[] = [];
  const run = async ({ file, args }: Program): Promise<ProgramResult> => {
    const call = [path.basename(file), ...args].join(' ');
    calls.push(call);
    const failure = fail(call);
    if (failure !== undefined) return { code: 1, stdout: '', stderr: failure };
    if (call.includes('venv')) {
      const directory = args.at(-1) ?? '';
      await mkdir(path.join(directory, 'bin'), { recursive: true });
      await writeFile(path.join(directory, 'bin', 'python'), '');
    }
    if (file.includes('environments') && !(await exists(file)))
      return { code: null, stdout: '', stderr: 'ENOENT' };
    return OK;
  };
  return { run, installs: () => calls.filter((call) => call.includes('pip install')), calls };
}

describe('Python environments', () => {
  let root = '';
  let requirements = '';
  const progress: string[] = [];
  const deps = (run: InstallDeps['run']): InstallDeps => ({
    cacheDirectory: root,
    env: {},
    run,
    onProgress: (line) => void progress.push(line),
  });

  beforeEach(async () => {
    progress.length = 0;
    root = await mkdtemp(path.join(tmpdir(), 'anneal-python-'));
    requirements = path.join(root, 'lock.txt');
    await writeFile(requirements, LOCK);
  });
  afterEach(async () => await rm(root, { recursive: true, force: true }));

  test('are built once, by uv, with hashes required, and found afterwards', async () => {
    const machine = createMachine();
    const first = await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    const second = await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    assert.deepEqual(second, first);
    assert.equal(first.key, environmentKey(LOCK, '3.11.7'));
    assert.equal(machine.installs().length, 1);
    assert.match(machine.installs()[0] ?? '', /^uv pip install .*--require-hashes/);
  });

  test('are built once when several ask at the same time', async () => {
    const machine = createMachine();
    const ask = async () =>
      await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    await Promise.all([ask(), ask(), ask()]);
    assert.equal(machine.installs().length, 1);
  });

  test('are built again when a build was cut off', async () => {
    const halfBuilt = path.join(root, 'environments', environmentKey(LOCK, '3.11.7'));
    await mkdir(path.join(halfBuilt, 'bin'), { recursive: true });
    await writeFile(path.join(halfBuilt, 'left-over'), '');
    const machine = createMachine();
    await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    assert.equal(machine.installs().length, 1);
    assert.equal(await exists(path.join(halfBuilt, 'left-over')), false);
  });

  test('are built again when their interpreter no longer runs', async () => {
    const machine = createMachine();
    const { python } = await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    await rm(python);
    await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    assert.equal(machine.installs().length, 2);
  });

  test('are built by pip where uv fails', async () => {
    const machine = createMachine((call) =>
      call.startsWith('uv pip') ? 'invalid peer certificate' : undefined,
    );
    await ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run));
    assert.match(machine.installs().at(-1) ?? '', /^python -m pip install .*--require-hashes/);
    assert.ok(progress.some((line) => line.includes('trying pip')));
  });

  test('name what could not be fetched without a network, and leave nothing that looks complete', async () => {
    const machine = createMachine((call) =>
      call.includes('pip install') ? 'Temporary failure in name resolution' : undefined,
    );
    const ask = async () =>
      await ensurePythonEnvironment({ requirements, python: PYTHON, label: 'train' }, deps(machine.run));
    await assert.rejects(ask(), {
      code: 'SETUP_FAILED',
      message: /^Could not fetch the packages of train: the Python package index cannot be reached\./,
    });
    await assert.rejects(ask(), { code: 'SETUP_FAILED' });
  });

  test('refuse a lock without hashes, and one that is not there', async () => {
    const machine = createMachine();
    await writeFile(requirements, 'numpy==2.0.0\n');
    await assert.rejects(
      ensurePythonEnvironment({ requirements, python: PYTHON }, deps(machine.run)),
      /have no hashes/,
    );
    const missing = { requirements: path.join(root, 'none.txt'), python: PYTHON };
    await assert.rejects(
      ensurePythonEnvironment(missing, deps(machine.run)),
      /Cannot read the Python requirements .*none\.txt/,
    );
    assert.deepEqual(machine.calls, []);
  });
});
