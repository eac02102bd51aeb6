import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { isPublicAddress } from '../../src/adapters/external-data/allowed-address.js';
import { createExternalData } from '../../src/adapters/external-data/create-external-data.js';
import type { PinnedObject } from '../../src/core/dataset-pin.js';
import { datasetUriProblem, pinDigest } from '../../src/core/pinned-data.js';

const signal = new AbortController().signal;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const data = createExternalData({ allowHosts: ['127.0.0.1'] });

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'anneal-data-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function withServer(answer: RequestListener, work: (uri: string) => Promise<void>): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The only object of what was found. */
async function findOne(uri: string): Promise<{ readonly source: string; readonly object: PinnedObject }> {
  const { source, objects } = await data.find(uri, signal);
  const [object] = objects;
  assert.ok(object);
  assert.equal(objects.length, 1);
  return { source, object };
}

describe('a dataset in a file', () => {
  test('has the digest of its bytes, as an artifact of a step has, and is fetched read-only', () =>
    withFolder(async (folder) => {
      const file = path.join(folder, 'a b.csv');
      await writeFile(file, 'x\n1\n');
      const found = await data.find(pathToFileURL(file).href, signal);
      assert.equal(pinDigest(found), sha256('x\n1\n'));
      const [object] = found.objects;
      assert.ok(object);
      const localPath = path.join(folder, 'fetched');
      await data.fetch(object, { source: found.source, localPath });
      assert.equal(await readFile(localPath, 'utf8'), 'x\n1\n');
    }));

  test('that was changed afterwards is refused with what was pinned and what is there, and leaves nothing', () =>
    withFolder(async (folder) => {
      const file = path.join(folder, 'a.csv');
      await writeFile(file, 'one');
      const { source, object } = await findOne(pathToFileURL(file).href);
      await writeFile(file, 'two');
      const localPath = path.join(folder, 'fetched');
      await assert.rejects(data.fetch(object, { source, localPath }), {
        code: 'InputChanged',
        message: `The file ${source} changed since the run pinned it: it was sha256 ${sha256('one')}, now ${sha256('two')}. Start a new run.`,
      });
      await assert.rejects(readFile(localPath), { code: 'ENOENT' });
    }));

  test('behind a link is the one that the link led to when it was pinned', () =>
    withFolder(async (folder) => {
      await writeFile(path.join(folder, 'v1'), 'one');
      await writeFile(path.join(folder, 'v2'), 'two');
      const link = path.join(folder, 'latest');
      await symlink('v1', link);
      const { source, object } = await findOne(pathToFileURL(link).href);
      await symlink('v2', `${link}.new`);
      await rename(`${link}.new`, link);
      await data.fetch(object, { source, localPath: path.join(folder, 'fetched') });
      assert.equal(await readFile(path.join(folder, 'fetched'), 'utf8'), 'one');
    }));

  test('or a directory is refused where it is missing, empty or holds a symlink', () =>
    withFolder(async (folder) => {
      const uri = pathToFileURL(folder).href;
      await assert.rejects(data.find(`${uri}/none`, signal), { code: 'InvalidInput', message: /nothing at/ });
      await mkdir(path.join(folder, 'empty'));
      await assert.rejects(data.find(`${uri}/empty`, signal), { code: 'InvalidInput', message: /is empty/ });
      await symlink('/proc/self/environ', path.join(folder, 'env'));
      await assert.rejects(data.find(uri, signal), {
        code: 'InvalidInput',
        message: /"env", which is a symlink/,
      });
    }));
});

describe('a dataset on a web server', () => {
  test('with a strong ETag is pinned without reading it, and refused under another ETag', () =>
    withFolder(async (folder) => {
      let content = 'one';
      const asked: (string | undefined)[] = [];
      await withServer(
        (request, response) => {
          asked.push(request.headers['if-match']);
          response.writeHead(200, { etag: `"${content}"`, 'content-length': content.length }).end(content);
        },
        async (base) => {
          const { source, object } = await findOne(`${base}/a.csv`);
          assert.deepEqual(object, { path: '', sizeBytes: 3, etag: '"one"' });
          await data.fetch(object, { source, localPath: path.join(folder, 'first') });
          assert.equal(await readFile(path.join(folder, 'first'), 'utf8'), 'one');
          assert.deepEqual(asked, [undefined, '"one"']);
          content = 'two';
          await assert.rejects(data.fetch(object, { source, localPath: path.join(folder, 'second') }), {
            code: 'InputChanged',
            message: /it was ETag "one", 3 bytes, now ETag "two"/,
          });
        },
      );
    }));

  test('with a weak ETag or none is known by the sha256 of its bytes', () =>
    withFolder(async (folder) => {
      let content = 'one';
      await withServer(
        (_request, response) => response.writeHead(200, { etag: 'W/"1"' }).end(content),
        async (base) => {
          const { source, object } = await findOne(`${base}/a.csv`);
          assert.deepEqual(object, { path: '', sizeBytes: 3, sha256: sha256('one') });
          content = 'two';
          const localPath = path.join(folder, 'fetched');
          await assert.rejects(data.fetch(object, { source, localPath }), { code: 'InputChanged' });
          await assert.rejects(readFile(localPath), { code: 'ENOENT' });
        },
      );
    }));

  test('that answers 412, 404 or 500 is changed, gone or worth another try', () =>
    withFolder(async (folder) => {
      let failures = 0;
      await withServer(
        (request, response) => {
          if (request.url === '/flaky' && failures++ === 0) response.writeHead(503).end();
          else if (request.url === '/flaky') response.writeHead(200, { etag: '"1"' }).end('abc');
          else response.writeHead(request.headers['if-match'] === undefined ? 404 : 412).end();
        },
        async (base) => {
          assert.equal((await findOne(`${base}/flaky`)).object.sha256, sha256('abc'));
          await assert.rejects(data.find(`${base}/none`, signal), {
            code: 'InvalidInput',
            message: /nothing is there \(status 404\)/,
          });
          const gone = { path: '', sizeBytes: 1, etag: '"x"' };
          await assert.rejects(data.fetch(gone, { source: `${base}/x`, localPath: path.join(folder, 'x') }), {
            code: 'InputChanged',
          });
        },
      );
    }));

  test('is not read from addresses inside, named, numbered, written oddly or behind a redirect', async () => {
    const strict = createExternalData({ allowHosts: [] });
    for (const uri of [
      'https://127.0.0.1/a',
      'https://localhost/a',
      'https://0x7f.1/a',
      'https://2130706433/a',
      'https://169.254.169.254/latest/meta-data',
      'https://[::1]/a',
      'https://[::ffff:10.0.0.1]/a',
      'https://[fd00::1]/a',
    ])
      await assert.rejects(
        strict.find(uri, signal),
        { code: 'InvalidConfig', message: /data\.allowHosts/ },
        uri,
      );
    await assert.rejects(strict.find('http://example.com/a', signal), {
      code: 'InvalidInput',
      message: /without encryption/,
    });
    await withServer(
      (_request, response) => response.writeHead(302, { location: 'https://169.254.169.254/' }).end(),
      async (base) =>
        await assert.rejects(data.find(`${base}/a`, signal), { code: 'InvalidConfig', message: /169\.254/ }),
    );
  });

  test('that redirects for ever is given up', () =>
    withServer(
      (_request, response) => response.writeHead(302, { location: '/again' }).end(),
      async (base) =>
        await assert.rejects(data.find(`${base}/a`, signal), {
          code: 'InvalidInput',
          message: /more than 5 times/,
        }),
    ));
});

test('addresses of the public Internet are told from all others', () => {
  for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700::1111'])
    assert.ok(isPublicAddress(address), address);
  for (const address of [
    '10.1.2.3',
    '172.31.0.1',
    '192.168.0.1',
    '100.64.0.1',
    '0.0.0.0',
    '::',
    '64:ff9b::a00:1',
    'fe80::1',
    'ff02::1',
    'text',
  ])
    assert.ok(!isPublicAddress(address), address);
});

test('URIs of datasets are checked for their form', () => {
  for (const uri of ['s3://bucket/key', 's3://bucket/a/', 'https://host/a?b=c', 'file:///data/a.csv'])
    assert.equal(datasetUriProblem(uri), undefined, uri);
  for (const uri of [
    's3://bucket',
    'ftp://host/a',
    '/data/a.csv',
    'file://a.csv',
    'https://user:secret@host/a',
    'https://host/a\nb',
  ])
    assert.notEqual(datasetUriProblem(uri), undefined, uri);
});
