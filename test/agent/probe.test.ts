import assert from 'node:assert/strict';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';

import { runProbe } from '../../src/agent/pod/run-probe.js';

/** Runs the probe against an address where somebody answers so. @returns its exit code and last message. */
async function probe(t: TestContext, answer: (() => { status: number; body: string }) | 'silent') {
  const server = createServer((request, response) => {
    request.resume();
    if (answer === 'silent') return;
    const { status, body } = answer();
    response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'anneal-probe-')));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });
  const { port } = server.address() as AddressInfo;
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' };
  const s3 = { endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', forcePathStyle: true, credentials };
  const message = path.join(folder, 'message');
  const env = { ANNEAL_STORE: 's3://bucket/churn', ANNEAL_STORE_S3: JSON.stringify(s3) };
  const code = await runProbe(env, message, 1_000);
  return { code, message: await readFile(message, 'utf8').catch(() => '') };
}

test('the probe of a pod says that the bucket is not there', async (t) => {
  const body = '<Error><Code>NoSuchBucket</Code><Message>not there</Message></Error>';
  const { code, message } = await probe(t, () => ({ status: 404, body }));
  assert.equal(code, 1);
  assert.match(message, /^InvalidConfig: .*bucket "bucket".*there is no such bucket/);
});

test('the probe of a pod says that the credentials may not', async (t) => {
  const body = '<Error><Code>AccessDenied</Code><Message>no</Message></Error>';
  const { message } = await probe(t, () => ({ status: 403, body }));
  assert.match(message, /^InvalidConfig: .*credentials may not do that/);
});

test('the probe of a pod gives up on a store that is silent', async (t) => {
  const { code, message } = await probe(t, 'silent');
  assert.deepEqual(
    [code, message],
    [
      1,
      'StoreUnavailable: The artifact store has not answered within 1 s. Check the endpoint and the network.',
    ],
  );
});
