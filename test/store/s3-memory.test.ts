import assert from 'node:assert/strict';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram } from '../../src/adapters/run-program.js';
import { hashRegularFile } from '../../src/adapters/file-store/copy-regular-file.js';
import { s3Program, startS3Server } from './s3-server.js';

const MIB = 1024 * 1024;
/** `ANNEAL_TEST_LARGE_MIB=20480` needs 42 GB of disk and some minutes. */
const SIZE_BYTES = Number(process.env['ANNEAL_TEST_LARGE_MIB'] ?? 400) * MIB;

test(
  'a file much larger than the memory limit is stored and fetched in less than 200 MB of memory',
  { skip: s3Program === undefined ? 'ANNEAL_TEST_S3 not set' : false },
  async (t) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'anneal-s3-memory-'));
    const server = await startS3Server();
    t.after(async () => {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    });
    const [source, target] = [path.join(directory, 'source'), path.join(directory, 'target')];
    await makeSparse(source);
    const program = fileURLToPath(new URL('./s3-transfer.ts', import.meta.url));
    const { code, stdout, stderr } = await runProgram({
      file: process.execPath,
      args: ['--import', 'tsx', program, JSON.stringify(server.storeOptions()), source, target],
      env: process.env,
    });
    assert.equal(code, 0, stderr);
    const { sizeBytes, sha256, peakBytes, seconds } = JSON.parse(stdout) as {
      readonly [name in 'sizeBytes' | 'peakBytes']: number;
    } & { readonly sha256: string; readonly seconds: readonly number[] };
    t.diagnostic(
      `${SIZE_BYTES / MIB} MiB: peak ${Math.round(peakBytes / MIB)} MiB, stored and fetched in ${seconds.join(' and ')} s`,
    );
    assert.equal((await stat(target)).size, sizeBytes);
    assert.equal((await hashRegularFile(target)).sha256, sha256);
    assert.ok(peakBytes < 200 * 1e6, `peak ${peakBytes}`);
  },
);

/** Every MiB is another one, and takes 4 KiB of the disk. */
async function makeSparse(file: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    for (let at = 0; at < SIZE_BYTES; at += MIB) await handle.write(`${at}.`, at);
    await handle.truncate(SIZE_BYTES);
  } finally {
    await handle.close();
  }
}
