import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { attemptPaths } from '../../src/adapters/process-executor/attempt-directory.js';
import type { ProcessExecutorDeps } from '../../src/adapters/process-executor/executor-deps.js';
import { readManifest } from '../../src/adapters/attempt-files/stored-outcome.js';
import { collectOutputs } from '../../src/agent/collect-outputs.js';
import { uploadAttempt } from '../../src/agent/upload-attempt.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import { buildOrigin } from '../../src/core/lineage.js';
import { createAttemptWorld } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, input, output, recordWatch, sh, succeeded } from './contract.js';
import { MORE_THAN_A_DISK, withSmallDisk } from './small-disk.js';

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('outputs', () => {
  const world = createAttemptWorld();
  const run = async (script: Parameters<typeof sh>, more: Partial<ProcessExecutorDeps> = {}) => {
    const launch = buildLaunch({ command: sh(...script), outputs: { out: dataset } });
    return { launch, outcome: await world.createExecutor(more).run(launch, recordWatch().watch) };
  };
  const manifestOf = async (name: string, store: ArtifactStore = world.store) =>
    await readManifest(store, storeKeys.manifest('execution', name));

  test('keep names with spaces, newlines, 255 bytes, and unicode in either form, all the way to the next step', async () => {
    const names = [
      'a b',
      'new\nline',
      'x'.repeat(255),
      'caf\u00e9',
      '日本 語',
      '..hidden',
      '-rf',
      'back\\slash',
      '%2e',
      '#?',
    ];
    // On macOS the two forms name one file.
    if (process.platform === 'linux') names.push('cafe\u0301');
    const folder = path.join(world.root, 'odd');
    await mkdir(folder);
    for (const name of names) await writeFile(path.join(folder, name), name);
    const { outcome, launch } = await run(['cp -r ', folder, ' ', output('out')]);
    const ref = succeeded(outcome).outputs['out'];
    assert.ok(ref);
    const files = (await manifestOf(launch.name))?.outputs['out']?.files ?? [];
    assert.deepEqual(files.map((file) => file.path).toSorted(), names.toSorted());
    for (const file of files) assert.equal(file.sha256, sha256(file.path));
    const next = buildLaunch({
      command: sh('cp -r ', input('in'), ' ', output('out')),
      inputs: { in: ref },
      outputs: { out: dataset },
    });
    const again = succeeded(await world.createExecutor().run(next, recordWatch().watch));
    assert.equal(again.outputs['out']?.digest, ref.digest);
  });

  test(
    'with a name that is not UTF-8 are refused by it',
    { skip: process.platform !== 'linux' },
    async () => {
      const { outcome } = await run([
        'mkdir ',
        output('out'),
        '; touch "$(printf "',
        output('out'),
        '/a\\377b")"',
      ]);
      assert.match(failedWith(outcome, 'OutputInvalid').message, /The file name "a\ufffdb" is not UTF-8/);
    },
  );

  test('may be an empty file, and not an empty directory or one of empty directories', async () => {
    const { outcome } = await run([': > ', output('out')]);
    assert.equal(succeeded(outcome).outputs['out']?.digest, sha256(''));
    for (const script of ['mkdir -p ', 'f() { mkdir -p "$1/deep/deeper"; }; f ']) {
      const empty = await run([script, output('out')]);
      assert.match(failedWith(empty.outcome, 'OutputMissing').message, /is an empty directory/);
    }
  });

  test('with symlinks that leave them or lead to /proc are refused, and nothing is stored', async () => {
    for (const target of ['/proc/self/environ', '/proc', '../../..', '/etc/passwd', 'missing']) {
      const { outcome, launch } = await run([
        'mkdir ',
        output('out'),
        '; echo 1 > ',
        output('out'),
        `/a; ln -s ${target} `,
        output('out'),
        '/b',
      ]);
      assert.match(failedWith(outcome, 'OutputInvalid').message, /holds "b", which is a symlink/);
      assert.equal(await manifestOf(launch.name), undefined);
      const stored: string[] = [];
      for await (const { key } of world.store.list(storeKeys.attempt('execution', launch.name)))
        stored.push(path.basename(key));
      assert.deepEqual(stored.toSorted(), ['outcome.json', 'output.log']);
    }
  });

  test('with devices are refused', { skip: !isRoot && 'needs root' }, async () => {
    const { outcome } = await run(['mkdir ', output('out'), '; mknod ', output('out'), '/zero c 1 5']);
    assert.match(
      failedWith(outcome, 'OutputInvalid').message,
      /holds "zero", which is neither a file nor a directory/,
    );
  });

  test('that change while they are stored fail the attempt, without a manifest', async () => {
    const folder = await mkdtemp(path.join(world.root, 'changing-'));
    const paths = attemptPaths(folder, 'changing');
    await mkdir(paths.outputs, { recursive: true });
    await writeFile(path.join(paths.outputs, 'out'), 'one');
    await mkdir(path.dirname(paths.log), { recursive: true });
    await writeFile(paths.log, '');
    const outputs = await collectOutputs(paths.outputs, { out: dataset });
    const store: ArtifactStore = {
      ...world.store,
      putFile: async (key, local) => {
        const entry = await world.store.putFile(key, local);
        await appendFile(local, 'two');
        return entry;
      },
    };
    const upload = {
      store,
      executionId: 'execution',
      name: 'changing',
      origin: buildOrigin(buildLaunch({}).request, 'run'),
      storeLog: async () => undefined,
      outputs,
      memory: undefined,
      startedAtMs: 0,
      nowMs: () => 1,
    };
    await assert.rejects(uploadAttempt(upload), {
      code: 'OutputInvalid',
      message: /output "out" changed while it was stored/,
    });
    assert.equal(await manifestOf('changing'), undefined);
  });

  test('of metrics and parameters have an end', async () => {
    const launch = buildLaunch({
      command: sh('head -c 1000001 /dev/zero > ', output('n')),
      outputs: { n: { type: 'string' } },
    });
    const failed = failedWith(await world.createExecutor().run(launch, recordWatch().watch), 'OutputInvalid');
    assert.match(failed.message, /has 1000001 bytes, 1000000 are allowed/);
  });

  test('have previews in the manifest, and none in the outcome', async () => {
    const { outcome, launch } = await run(["printf 'a,b\\n1,2\\n' > ", output('out')]);
    assert.ok(!('preview' in (succeeded(outcome).outputs['out'] ?? {})));
    const preview = (await manifestOf(launch.name))?.outputs['out']?.preview;
    assert.equal(preview?.type === 'table' && preview.rowCount, 1);
  });

  describe('on a disk that is full', { skip: !isRoot && 'needs root, to mount a small disk' }, () => {
    test('of the store, fail to be stored: nothing of the attempt is visible, and the reason is said', async (t) => {
      const kind = await withSmallDisk(async (disk) => {
        const store = createFileStore({ root: path.join(disk, 'store') });
        const { outcome, launch } = await run([`head -c ${MORE_THAN_A_DISK} /dev/zero > `, output('out')], {
          store,
        });
        const { message } = failedWith(outcome, 'UploadFailed');
        assert.match(
          message,
          /its outputs could not be stored: .*no space left on device.*Free space on that disk/,
        );
        assert.equal(await manifestOf(launch.name, store), undefined);
        assert.equal(await store.stat(storeKeys.output('execution', launch.name, 'out')), undefined);
        assert.deepEqual(await readdir(path.join(disk, 'store/.incoming')), []);
      });
      t.diagnostic(kind);
    });

    test('of the attempts, or of its log, fail the attempt with that reason, and leave what was stored', async (t) => {
      const kind = await withSmallDisk(async (disk) => {
        const attemptsDir = path.join(disk, 'attempts');
        await mkdir(attemptsDir);
        for (const script of [
          `head -c ${MORE_THAN_A_DISK} /dev/zero > `,
          `head -c ${MORE_THAN_A_DISK} /dev/zero && : > `,
        ]) {
          const { outcome, launch } = await run([script, output('out')], { attemptsDir });
          const { message } = failedWith(outcome, 'DiskFull');
          assert.match(message, /disk of the attempt's directory is full/);
          assert.equal(await manifestOf(launch.name), undefined);
          assert.deepEqual(await readdir(attemptsDir), []);
        }
        const { outcome } = await run(['echo 1 > ', output('out')], { attemptsDir });
        assert.equal(outcome.kind, 'succeeded');
      });
      t.diagnostic(kind);
    });
  });
});
