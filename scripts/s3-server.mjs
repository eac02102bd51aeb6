// The S3 server of the tests: versitygw, built once with Go into the user's cache directory; where Go is missing, moto.
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { root, say } from './bootstrap.mjs';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw';
const VERSION = '1.8.0';

/** The path of the server's program: `ANNEAL_TEST_S3`, the cached one, or one that is made now; `undefined` when there can be none. */
export async function ensureS3Server({ cacheDirectory, env, run, withLock, motoEnvironment }) {
  if (env.ANNEAL_TEST_S3) return env.ANNEAL_TEST_S3;
  const name = `versitygw-${VERSION}-${process.platform}-${process.arch}`;
  const directory = path.join(cacheDirectory, 'tools', name);
  const program = path.join(directory, 'bin', 'versitygw');
  if (existsSync(program)) return program;
  if ((await run({ file: 'go', args: ['version'], env })).code === 0) {
    const built = await withLock({ directory: path.join(cacheDirectory, 'locks', name) }, async () => {
      if (existsSync(program)) return true;
      return await build({ directory, env, run });
    });
    if (built) return program;
  }
  const made = await motoEnvironment(path.join(root, 'test', 'store', 'moto.txt'));
  return path.join(made.bin, 'moto_server');
}

async function build({ directory, env, run }) {
  const startedAt = performance.now();
  say(`versitygw ${VERSION} (S3 server of the tests): building with Go, one or two minutes, once`);
  const staging = `${directory}.tmp`;
  await rm(staging, { recursive: true, force: true });
  await mkdir(staging, { recursive: true });
  const result = await run({
    file: 'go',
    args: ['install', `${MODULE}@v${VERSION}`],
    env: { ...env, GOBIN: path.join(staging, 'bin'), GOFLAGS: '' },
    cwd: staging,
  });
  if (result.code !== 0) {
    const last = (result.stderr + result.stdout).trim().split('\n').at(-1);
    say(`versitygw could not be built (${last}); moto serves instead`);
    await rm(staging, { recursive: true, force: true });
    return false;
  }
  await rm(directory, { recursive: true, force: true });
  await rename(staging, directory);
  say(`versitygw: ready (${((performance.now() - startedAt) / 1000).toFixed(0)} s)`);
  return true;
}
