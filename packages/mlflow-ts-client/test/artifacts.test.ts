import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { encodeArtifactPath, isMlflowError } from '../src/index.js';
import { ok, reset, stage, text, truncated } from './misbehaving-server.js';

const root = 'mlflow-artifacts:/1/abc/artifacts';

async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mlflow-ts-client-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe('artifact paths', () => {
  const refused = [
    '../x',
    'a/../b',
    './a',
    '/etc/passwd',
    'a//b',
    'a/',
    '',
    'a\\b',
    'a#b',
    'a?b',
    'a%2eb',
    '%2E%2E/x',
    'a%00',
    'a\0b',
    'a\nb',
  ];
  for (const path of refused) {
    test(`refuse ${JSON.stringify(path)} before anything is sent`, async (t) => {
      const { client, seen } = await stage(t, [ok({})]);
      const wrong = (error: unknown): boolean => isMlflowError(error, 'INVALID_ARGUMENT');
      await assert.rejects(client.artifacts.put({ root, path, content: '' }), wrong);
      await assert.rejects(client.artifacts.get({ root, path }), wrong);
      await assert.rejects(client.artifacts.delete({ root, path }), wrong);
      if (path !== '') await assert.rejects(client.artifacts.list({ runId: 'r1', path }), wrong);
      if (path !== '') await assert.rejects(client.artifacts.list({ root, path }), wrong);
      await assert.rejects(client.artifacts.get({ root: `${root}/../../secret`, path: 'a' }), wrong);
      assert.equal(seen.length, 0);
    });
  }

  test('are encoded by segment', () => {
    assert.equal(encodeArtifactPath('a b/ü/100%/x:y&z'), 'a%20b/%C3%BC/100%25/x%3Ay%26z');
  });
});

describe('artifact roots', () => {
  test('that name a host go there, without credentials unless it is trusted', async (t) => {
    const other = await stage(t, [ok({})]);
    const host = new URL(other.uri).host;
    const put = { root: `mlflow-artifacts://${host}/1/abc`, path: 'x', content: 'hello' };
    const auth = { token: 'secret' };
    const { client } = await stage(t, [ok({})], { auth });
    await client.artifacts.put(put);
    const trusting = await stage(t, [ok({})], { auth, trustedArtifactHosts: [host] });
    await trusting.client.artifacts.put(put);
    assert.deepEqual(
      other.seen.map(({ url }) => url),
      Array(2).fill('/api/2.0/mlflow-artifacts/artifacts/1/abc/x'),
    );
    assert.deepEqual(
      other.seen.map(({ headers }) => headers.authorization),
      [undefined, 'Bearer secret'],
    );
  });

  test('that are not served by MLflow are named', async (t) => {
    const { client } = await stage(t, [ok({})]);
    const put = client.artifacts.put({ root: 's3://bucket/1', path: 'x', content: '' });
    await assert.rejects(
      put,
      (error) => isMlflowError(error, 'ARTIFACT_STORE_DIRECT') && error.message.includes('s3://bucket/1'),
    );
  });

  test('with a host that is not one are refused', async (t) => {
    const { client } = await stage(t, [ok({})]);
    await assert.rejects(
      client.artifacts.get({ root: 'mlflow-artifacts://user@evil/1', path: 'x' }),
      /not a host/,
    );
  });
});

describe('uploads', () => {
  test('stream a file with its size, again from the start after a reset', async (t) => {
    const file = join(await makeDirectory(t), 'model.bin');
    const content = 'x'.repeat(300_000);
    await writeFile(file, content);
    const { client, seen } = await stage(t, [reset, text(503, 'busy'), ok({})]);
    await client.artifacts.put({ root, path: 'model/model.bin', file });
    const last = seen.at(-1);
    assert.equal(seen.length, 3);
    assert.equal(last?.url, '/api/2.0/mlflow-artifacts/artifacts/1/abc/artifacts/model/model.bin');
    assert.equal(last.headers['content-length'], '300000');
    assert.equal(last.headers['transfer-encoding'], undefined);
    assert.equal(last.body, content);
  });

  test('send an empty file', async (t) => {
    const file = join(await makeDirectory(t), 'empty');
    await writeFile(file, '');
    const { client, seen } = await stage(t, [ok({})]);
    await client.artifacts.put({ root, path: 'empty', file });
    assert.equal(seen[0]?.headers['content-length'], '0');
  });

  test('say which file cannot be read, and send nothing', async (t) => {
    const directory = await makeDirectory(t);
    const { client, seen } = await stage(t, [ok({})]);
    await assert.rejects(
      client.artifacts.put({ root, path: 'x', file: join(directory, 'none') }),
      /none cannot be uploaded.*ENOENT/,
    );
    await assert.rejects(client.artifacts.put({ root, path: 'x', file: directory }), /not a regular file/);
    assert.equal(seen.length, 0);
  });

  test('fail when the file shrinks while it is sent, and do not retry', async (t) => {
    const file = join(await makeDirectory(t), 'shrinking');
    await writeFile(file, 'x'.repeat(1000));
    let tries = 0;
    const { client } = await stage(t, [ok({})], {
      fetch: async (input, init) => {
        tries += 1;
        await writeFile(file, 'x');
        return fetch(input, init);
      },
    });
    await assert.rejects(
      client.artifacts.put({ root, path: 'x', file }),
      (error) => isMlflowError(error, 'LOCAL_FILE') && /changed/.test(error.message),
    );
    assert.equal(tries, 1);
  });
});

describe('downloads', () => {
  test('appear whole, after a broken-off answer', async (t) => {
    const directory = await makeDirectory(t);
    const { client } = await stage(t, [truncated, text(200, 'whole')]);
    assert.equal(await client.artifacts.download({ root, path: 'x', file: join(directory, 'x') }), 5);
    assert.equal(await readFile(join(directory, 'x'), 'utf8'), 'whole');
    assert.deepEqual(await readdir(directory), ['x']);
  });

  test('name the local file that cannot be written', async (t) => {
    const file = join(await makeDirectory(t), 'none', 'x');
    const { client, seen } = await stage(t, [text(200, 'whole')]);
    await assert.rejects(client.artifacts.download({ root, path: 'x', file }), (error) =>
      isMlflowError(error, 'LOCAL_FILE'),
    );
    assert.equal(seen.length, 1);
  });

  test('into memory stop at the limit', async (t) => {
    const { client } = await stage(t, [text(200, 'x'.repeat(2000))]);
    assert.equal((await client.artifacts.get({ root, path: 'x' })).byteLength, 2000);
    await assert.rejects(client.artifacts.get({ root, path: 'x', maxBytes: 1000 }), /larger than 1000 bytes/);
  });
});

describe('lists', () => {
  test('by run walk the pages', async (t) => {
    const page = (path: string, next?: string): unknown => ({
      files: [{ path, is_dir: false, file_size: 3 }],
      next_page_token: next,
    });
    const { client } = await stage(t, [ok(page('a', 't')), ok(page('b'))]);
    assert.deepEqual(await client.artifacts.list({ runId: 'r1' }), [
      { path: 'a', isDir: false, fileSize: 3 },
      { path: 'b', isDir: false, fileSize: 3 },
    ]);
  });

  test('by root give paths below the root', async (t) => {
    const { client, seen } = await stage(t, [
      ok({ files: [{ path: 'MLmodel', is_dir: false, file_size: '12' }] }),
    ]);
    assert.deepEqual(await client.artifacts.list({ root, path: 'model' }), [
      { path: 'model/MLmodel', isDir: false, fileSize: 12 },
    ]);
    assert.equal(seen[0]?.url, '/api/2.0/mlflow-artifacts/artifacts?path=1%2Fabc%2Fartifacts%2Fmodel');
  });

  test('of an empty directory are empty', async (t) => {
    const { client } = await stage(t, [ok({})]);
    assert.deepEqual(await client.artifacts.list({ runId: 'r1' }), []);
  });
});
