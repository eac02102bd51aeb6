import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../../src/adapters/run-program.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

test('a worker of a pool that is not there is refused, and the program ends', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-worker-'));
  try {
    const file = path.join(directory, 'anneal.yaml');
    await writeFile(file, 'project: shop\npipelines: pipelines.ts\n');
    const args = ['--import', 'tsx', MAIN, 'worker', '--pools', 'tpu', '--project', file];
    const env = { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const { code, stdout, stderr } = await runProgram({
      file: process.execPath,
      args,
      env,
      timeoutMs: 60_000,
    });
    assert.match(stderr, /^InvalidConfig: There is no pool "tpu" in anneal\.yaml; it has /m);
    assert.equal(stdout, '');
    assert.equal(code, 2);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

for (const [name, what] of [
  ['ANNEAL_METRICS_ADDRESS', 'metrics'],
  ['ANNEAL_HEALTH_ADDRESS', 'health'],
] as const)
  test(`a worker that cannot tell where to offer its ${what} says so before it connects`, async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'anneal-worker-'));
    try {
      const file = path.join(directory, 'anneal.yaml');
      await writeFile(file, 'project: shop\npipelines: pipelines.ts\n');
      const args = ['--import', 'tsx', MAIN, 'worker', '--project', file];
      const env = { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1', [name]: 'localhost:9464' };
      const { code, stderr } = await runProgram({ file: process.execPath, args, env, timeoutMs: 60_000 });
      assert.match(
        stderr,
        new RegExp(`^InvalidConfig: ${name} is "localhost:9464"; .* such as 0\\.0\\.0\\.0:9464\\.`, 'm'),
      );
      assert.equal(code, 2);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
