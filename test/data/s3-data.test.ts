import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { ExternalData } from '../../src/activities/ports/external-data.js';
import { createExternalData } from '../../src/adapters/external-data/create-external-data.js';
import { pinDigest } from '../../src/core/pinned-data.js';
import { s3Program, startS3Server, type S3Server } from '../store/s3-server.js';

const signal = new AbortController().signal;

describe('a dataset in a bucket', { skip: s3Program === undefined && 'no S3 server' }, () => {
  let server: S3Server;
  let data: ExternalData;
  let folder = '';
  const put = async (key: string, text: string) =>
    await server.s3.putObject({ Bucket: server.bucket, Key: key, Body: text });
  const at = (key: string) => `s3://${server.bucket}/${key}`;
  before(async () => {
    server = await startS3Server();
    folder = await mkdtemp(path.join(tmpdir(), 'anneal-s3-data-'));
    const { endpoint, credentials } = server;
    data = createExternalData({ allowHosts: [], s3: { endpoint, credentials, region: 'us-east-1' } });
  });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('is pinned by its ETag, fetched, and refused when it was replaced', async () => {
    await put('one/a.csv', 'x\n1\n');
    const found = await data.find(at('one/a.csv'), signal);
    const [object] = found.objects;
    assert.ok(object?.etag);
    assert.equal(object.sizeBytes, 4);
    await data.fetch(object, { source: found.source, localPath: path.join(folder, 'first') });
    assert.equal(await readFile(path.join(folder, 'first'), 'utf8'), 'x\n1\n');
    await put('one/a.csv', 'x\n2\n');
    const again = await data.find(at('one/a.csv'), signal);
    assert.notEqual(pinDigest(again), pinDigest(found));
    await assert.rejects(
      data.fetch(object, { source: found.source, localPath: path.join(folder, 'second') }),
      {
        code: 'InputChanged',
        message: new RegExp(
          `The object ${at('one/a.csv')} changed since the run pinned it: it was ETag .*, now ETag .*\\. Start a new run\\.`,
        ),
      },
    );
    await assert.rejects(readFile(path.join(folder, 'second')), { code: 'ENOENT' });
  });

  test('in a bucket that keeps versions is fetched as it was, also when it was replaced or removed since', async () => {
    const bucket = 'versioned';
    await server.s3.createBucket({ Bucket: bucket });
    await server.s3.putBucketVersioning({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } });
    const putVersion = async (text: string) =>
      await server.s3.putObject({ Bucket: bucket, Key: 'a.csv', Body: text });
    await putVersion('one');
    const uri = `s3://${bucket}/a.csv`;
    const found = await data.find(uri, signal);
    const [object] = found.objects;
    assert.ok(object?.versionId);
    const fetched = async (name: string) => {
      await data.fetch(object, { source: found.source, localPath: path.join(folder, name) });
      return await readFile(path.join(folder, name), 'utf8');
    };
    await putVersion('two, longer');
    assert.equal(await fetched('v1'), 'one');
    assert.notEqual(pinDigest(await data.find(uri, signal)), pinDigest(found));
    await server.s3.deleteObject({ Bucket: bucket, Key: 'a.csv' });
    assert.equal(await fetched('v2'), 'one');
    await assert.rejects(data.find(uri, signal), { code: 'InvalidInput', message: /There is no object/ });
    await server.s3.deleteObject({ Bucket: bucket, Key: 'a.csv', VersionId: object.versionId });
    await assert.rejects(fetched('v3'), { code: 'InputChanged' });
  });

  test('that was replaced by the same bytes has the same digest', async () => {
    await put('same.csv', 'x');
    const before = pinDigest(await data.find(at('same.csv'), signal));
    await put('same.csv', 'x');
    assert.equal(pinDigest(await data.find(at('same.csv'), signal)), before);
  });

  test('below a prefix is pinned by its listing', async () => {
    await put('many/a.csv', 'a');
    await put('many/deep/b c.csv', 'bb');
    const found = await data.find(at('many/'), signal);
    assert.deepEqual(
      found.objects.map(({ path: name, sizeBytes }) => [name, sizeBytes]),
      [
        ['a.csv', 1],
        ['deep/b c.csv', 2],
      ],
    );
    const [, second] = found.objects;
    assert.ok(second);
    await data.fetch(second, { source: found.source, localPath: path.join(folder, 'b') });
    assert.equal(await readFile(path.join(folder, 'b'), 'utf8'), 'bb');
    await put('many/c.csv', 'c');
    assert.notEqual(pinDigest(await data.find(at('many/'), signal)), pinDigest(found));
  });

  test('that is not there, in a bucket that is not there, or without leave is said so', async () => {
    await assert.rejects(data.find(at('none.csv'), signal), {
      code: 'InvalidInput',
      message: /There is no object/,
    });
    await assert.rejects(data.find(at('none/'), signal), {
      code: 'InvalidInput',
      message: /no objects below/,
    });
    await assert.rejects(data.find('s3://no-such-bucket/a/', signal), {
      code: 'InvalidInput',
      message: /there is no such bucket/,
    });
  });
});
