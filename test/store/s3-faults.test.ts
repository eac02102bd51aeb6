import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { checkS3Store } from '../../src/adapters/s3-store/check-s3-store.js';
import { accessS3, createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import type { S3StoreOptions } from '../../src/adapters/s3-store/create-s3-store.js';
import { abortUploads } from '../../src/adapters/s3-store/unfinished-uploads.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { until } from '../system/support/until.js';
import { s3Error, startFaultProxy, times } from './fault-proxy.js';
import type { FaultProxy, Seen } from './fault-proxy.js';
import { isMoto, s3Program, startS3Server } from './s3-server.js';
import type { S3Server } from './s3-server.js';

const MIB = 1024 * 1024;
// Long enough for a machine that is busy, and short enough to wait for.
const timing = { baseMs: 1, capMs: 5, tries: 4, requestMs: 3_000, idleMs: 3_000 };
const isPart = ({ method, url }: Seen) => method === 'PUT' && url.includes('partNumber=');
const isPartNumber = (number: number) => (seen: Seen) =>
  isPart(seen) && seen.url.includes(`partNumber=${number}&`);
const isComplete = ({ method, url }: Seen) => method === 'POST' && url.includes('uploadId=');
const isGet = ({ method, url }: Seen) =>
  method === 'GET' && !url.includes('list-type') && !url.includes('upload');
const isPut = ({ method }: Seen) => method === 'PUT';
const COMPLETED =
  '<CompleteMultipartUploadResult><ETag>&quot;made-up-3&quot;</ETag></CompleteMultipartUploadResult>';
/** Without checksums of parts everything is sent again. */
const noResume = { skip: isMoto && 'moto lists no checksums of parts' };
const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Error && 'code' in error, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\n|undefined/);
  return true;
};

/** A real server behind a proxy that fails as networks and services do. */
describe(
  'an S3 store whose service fails',
  { skip: s3Program === undefined ? 'ANNEAL_TEST_S3 not set' : false },
  () => {
    let server: S3Server;
    let proxy: FaultProxy;
    let local: string;
    let file: string;
    const content = randomBytes(13 * MIB);
    const sha256 = createHash('sha256').update(content).digest('hex');

    before(async () => {
      server = await startS3Server();
      proxy = await startFaultProxy(server.endpoint);
      local = await mkdtemp(path.join(tmpdir(), 'anneal-s3-faults-'));
      file = path.join(local, 'model.bin');
      await writeFile(file, content);
    });
    afterEach(() => {
      proxy.decide = () => undefined;
      proxy.seen.length = 0;
    });
    after(async () => {
      await proxy.stop();
      await server.stop();
      await rm(local, { recursive: true, force: true });
    });

    const options = (more: Partial<S3StoreOptions> = {}): S3StoreOptions => ({
      ...server.storeOptions(),
      endpoint: proxy.endpoint,
      partBytes: 5 * MIB,
      timing,
      ...more,
    });
    const open = (more: Partial<S3StoreOptions> = {}): ArtifactStore => createS3Store(options(more));
    const unfinished = async (store: ArtifactStore): Promise<number> => {
      const prefix = `${store.rootUri.split('/').slice(3).join('/')}/`;
      return (
        (await server.s3.listMultipartUploads({ Bucket: server.bucket, Prefix: prefix })).Uploads?.length ?? 0
      );
    };
    const assertStored = async (store: ArtifactStore, key: string) => {
      assert.equal(
        createHash('sha256')
          .update((await store.readBytes(key)) ?? '')
          .digest('hex'),
        sha256,
      );
      assert.equal(await unfinished(store), 0);
    };

    for (const [name, matches, fault, count = 2] of [
      ['a part is told to slow down', isPartNumber(2), s3Error(503, 'SlowDown')],
      ['a part gets an internal error', isPartNumber(3), s3Error(500, 'InternalError')],
      ['the connection ends while a part is sent', isPartNumber(2), { kind: 'refuse' }],
      ['the answer to a part is lost', isPartNumber(1), { kind: 'lose-answer' }],
      ['a part is not answered', isPartNumber(1), { kind: 'hang' }, 1],
      ['putting together answers 200 with an error in it', isComplete, s3Error(200, 'InternalError')],
      ['the answer to putting together is lost', isComplete, { kind: 'lose-answer' }],
    ] as const)
      test(`stores a file in parts although ${name}`, async () => {
        const store = open();
        proxy.decide = times(count, matches, fault);
        const entry = await store.putFile('a/model.bin', file);
        // Where the answer to putting together is lost, the object is found, and nothing is asked twice.
        const once = matches === isComplete && fault.kind === 'lose-answer';
        assert.equal(proxy.seen.filter(matches).length, once ? 1 : count + 1);
        assert.deepEqual(entry, { path: 'model.bin', sizeBytes: content.byteLength, sha256 });
        await assertStored(store, 'a/model.bin');
      });

    test('believes a large file to be there when it is, though the service says so while it still puts it together', async () => {
      const store = open();
      let asked = 0;
      proxy.decide = (seen) => {
        if (!isComplete(seen)) return undefined;
        asked += 1;
        if (asked === 1) return { kind: 'hang' };
        return asked < 4 ? { kind: 'answer', status: 200, body: COMPLETED } : undefined;
      };
      await store.putFile('late', file);
      assert.equal(asked, 4);
      await assertStored(store, 'late');
    });

    test('gives up on a large file that the service says is there and is not', async () => {
      const store = open({ timing: { ...timing, completeMs: 200 } });
      let asked = 0;
      proxy.decide = (seen) => {
        if (!isComplete(seen)) return undefined;
        asked += 1;
        return asked === 1 ? { kind: 'refuse' } : { kind: 'answer', status: 200, body: COMPLETED };
      };
      await assert.rejects(
        store.putFile('never', file),
        failsWith('StoreUnavailable', /not put ".*never" together within 0.2 s/),
      );
    });

    test('sends again what arrives damaged', { skip: isMoto && 'moto does not look' }, async () => {
      const store = open();
      proxy.decide = times(1, isPartNumber(2), { kind: 'flip', of: 'request' });
      await store.putFile('damaged', file);
      assert.equal(proxy.seen.filter(isPartNumber(2)).length, 2);
      await assertStored(store, 'damaged');
    });

    test(
      'gives up after some tries, and does not send again what had arrived when it is asked the next time',
      noResume,
      async () => {
        const store = open();
        proxy.decide = times(99, isPartNumber(3), s3Error(503, 'SlowDown'));
        await assert.rejects(
          store.putFile('resumed', file),
          failsWith('StoreUnavailable', /cannot store ".*resumed".*SlowDown/),
        );
        assert.equal(proxy.seen.filter(isPartNumber(3)).length, timing.tries);
        assert.equal(await unfinished(store), 1);
        proxy.decide = () => undefined;
        proxy.seen.length = 0;
        assert.equal((await store.putFile('resumed', file)).sha256, sha256);
        assert.deepEqual(
          proxy.seen.filter(isPart).map(({ url }) => /partNumber=(\d+)/.exec(url)?.[1]),
          ['3'],
        );
        await assertStored(store, 'resumed');
      },
    );

    test('another process goes on with what a killed one had sent', noResume, async () => {
      const store = open();
      proxy.decide = times(99, isPartNumber(3), { kind: 'hang' });
      const given = JSON.stringify({ ...options(), root: store.rootUri, timing: {} });
      const killed = spawn(
        process.execPath,
        [
          '--import',
          'tsx',
          fileURLToPath(new URL('./s3-transfer.ts', import.meta.url)),
          given,
          file,
          `${file}.fetched`,
        ],
        { stdio: 'ignore' },
      );
      const hasParts = async () => {
        const uploads = await server.s3.listMultipartUploads({
          Bucket: server.bucket,
          Prefix: keyOf(store, 'large'),
        });
        const [upload] = uploads.Uploads ?? [];
        if (upload?.Key === undefined || upload.UploadId === undefined) return false;
        const of = { Bucket: server.bucket, Key: upload.Key, UploadId: upload.UploadId };
        return (await server.s3.listParts(of)).Parts?.length === 2;
      };
      await until('two parts have arrived', hasParts);
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      proxy.decide = () => undefined;
      proxy.seen.length = 0;
      await store.putFile('large', file);
      assert.deepEqual(
        proxy.seen.filter(isPart).map(({ url }) => /partNumber=(\d+)/.exec(url)?.[1]),
        ['3'],
      );
      await assertStored(store, 'large');
    });

    test('sends the parts that another file of the same key had otherwise', noResume, async () => {
      const store = open();
      const other = path.join(local, 'other');
      await writeFile(other, Buffer.concat([Buffer.alloc(5 * MIB, 1), content.subarray(5 * MIB)]));
      proxy.decide = times(99, isPartNumber(3), s3Error(503, 'SlowDown'));
      await assert.rejects(store.putFile('changed', other));
      proxy.decide = () => undefined;
      proxy.seen.length = 0;
      await store.putFile('changed', file);
      assert.deepEqual(
        proxy.seen.filter(isPart).map(({ url }) => /partNumber=(\d+)/.exec(url)?.[1]),
        ['1', '3'],
      );
      await assertStored(store, 'changed');
    });

    test('begins anew when the upload that it goes on with is ended under it', async () => {
      const store = open();
      proxy.decide = times(99, isPartNumber(3), s3Error(503, 'SlowDown'));
      await assert.rejects(store.putFile('ended', file));
      proxy.decide = times(1, isPartNumber(3), s3Error(404, 'NoSuchUpload'));
      assert.equal((await store.putFile('ended', file)).sha256, sha256);
      await assertStored(store, 'ended');
    });

    test('leaves no upload behind when the file cannot be read to its end', async () => {
      const store = open();
      const shrinking = path.join(local, 'shrinking');
      await writeFile(shrinking, new Uint8Array(60 * MIB));
      proxy.decide = (seen) => {
        if (isPart(seen)) void truncate(shrinking, MIB);
        return undefined;
      };
      await assert.rejects(
        store.putFile('shrinking', shrinking),
        failsWith('InvalidInput', /became shorter while it was being stored/),
      );
      assert.equal(await unfinished(store), 0);
      assert.equal(await store.stat('shrinking'), undefined);
    });

    test('ends uploads that nobody goes on with, and no others', async () => {
      const store = open();
      proxy.decide = times(99, isPartNumber(3), s3Error(503, 'SlowDown'));
      await assert.rejects(store.putFile('left/model', file));
      proxy.decide = () => undefined;
      const { connection, keys } = accessS3({ ...options(), root: store.rootUri });
      assert.deepEqual(await abortUploads(connection, keys.objectPrefix(''), Date.now() - 60_000), []);
      assert.equal(await unfinished(store), 1);
      assert.deepEqual(await abortUploads(connection, keys.objectPrefix(''), Date.now() + 60_000), [
        keys.objectKey('left/model'),
      ]);
      assert.equal(await unfinished(store), 0);
    });

    test('removing a folder ends the uploads to it', async () => {
      const store = open();
      proxy.decide = times(99, isPartNumber(3), s3Error(503, 'SlowDown'));
      await assert.rejects(store.putFile('folder/model', file));
      proxy.decide = () => undefined;
      await store.removeAll('folder/');
      assert.equal(await unfinished(store), 0);
    });

    test('reads on from where an answer was cut off', async () => {
      const store = open();
      await store.putFile('cut', file);
      proxy.seen.length = 0;
      proxy.decide = times(5, isGet, { kind: 'cut', afterBytes: 2 * MIB });
      const hash = createHash('sha256');
      for await (const chunk of (await store.openRead('cut')) ?? assert.fail()) hash.update(chunk);
      assert.equal(hash.digest('hex'), sha256);
      const starts = proxy.seen
        .filter(isGet)
        .map(({ headers }) => Number(/\d+/.exec(headers.range ?? '0')?.[0]));
      assert.equal(starts.length, 6);
      assert.ok(
        starts.every((start, index) => index === 0 || start > (starts[index - 1] ?? Infinity)),
        starts.join(),
      );
    });

    test('fetches a large file in parts, several at once, each from where it was cut off', async () => {
      const store = open();
      await store.putFile('parted', file);
      proxy.seen.length = 0;
      proxy.decide = times(3, isGet, { kind: 'cut', afterBytes: 2 * MIB });
      const target = path.join(local, 'parted');
      await store.fetchFile('parted', target);
      assert.equal(
        createHash('sha256')
          .update(await readFile(target))
          .digest('hex'),
        sha256,
      );
      const ranges = proxy.seen.filter(isGet).map(({ headers }) => headers.range);
      // The second and third are asked for before the first has arrived.
      assert.deepEqual(ranges.slice(0, 3).toSorted(), [
        `bytes=0-${4 * MIB - 1}`,
        `bytes=${4 * MIB}-${8 * MIB - 1}`,
        `bytes=${8 * MIB}-${12 * MIB - 1}`,
      ]);
      assert.equal(ranges.length, 7);
      const starts = ranges.map((range) => Number(/\d+/.exec(range ?? '')?.[0]));
      const again = starts.filter((at) => at % (4 * MIB) > 0);
      assert.deepEqual(again.map((at) => Math.floor(at / (4 * MIB))).toSorted(), [0, 1, 2]);
    });

    test('does not put together parts of an object that is replaced while it is fetched', async () => {
      const store = open();
      await store.putFile('mixed', file);
      let parts = 0;
      proxy.decide = (seen) => {
        if (!isGet(seen)) return undefined;
        parts += 1;
        return parts === 2
          ? { kind: 'answer', status: 412, body: '<Error><Code>PreconditionFailed</Code></Error>' }
          : undefined;
      };
      const target = path.join(local, 'mixed');
      await assert.rejects(
        store.fetchFile('mixed', target),
        failsWith('StoreUnavailable', /was replaced or removed in the artifact store while it was read/),
      );
      assert.ok(!(await readdir(local)).some((name) => name.includes('mixed')));
      proxy.decide = () => undefined;
      await store.fetchFile('mixed', target);
      assert.equal(Buffer.compare(await readFile(target), content), 0);
    });

    test('says how far it came when every answer is cut off at once', async () => {
      const store = open();
      await store.putFile('stuck', file);
      proxy.decide = times(99, isGet, { kind: 'cut', afterBytes: 0 });
      await assert.rejects(
        store.fetchFile('stuck', path.join(local, 'stuck')),
        failsWith('StoreUnavailable', /cannot read/),
      );
      assert.ok(!(await readdir(local)).some((name) => name.includes('stuck')));
    });

    test('notices that an object is replaced while it is read', async () => {
      const store = open();
      await store.putFile('replaced', file);
      proxy.decide = (seen) => {
        if (!isGet(seen) || seen.headers.range !== undefined) return undefined;
        return { kind: 'cut', afterBytes: MIB };
      };
      const chunks = await store.openRead('replaced');
      assert.ok(chunks);
      await assert.rejects(
        async () => {
          let replaced = false;
          for await (const _ of chunks) {
            if (!replaced)
              await server.s3.putObject({
                Bucket: server.bucket,
                Key: keyOf(store, 'replaced'),
                Body: Buffer.alloc(content.byteLength),
              });
            replaced = true;
          }
        },
        failsWith('StoreUnavailable', /was replaced or removed in the artifact store while it was read/),
      );
    });

    for (const [form, bytes] of [
      ['in one piece', content.subarray(0, MIB)],
      ['in parts', content],
    ] as const)
      test(`does not hand out a file stored ${form} that is not what was stored`, async () => {
        const store = open();
        const [source, target] = [path.join(local, 'source'), path.join(local, 'target')];
        await writeFile(source, bytes);
        await writeFile(target, 'old');
        await store.putFile('flipped', source);
        proxy.decide = times(99, isGet, { kind: 'flip', of: 'answer' });
        await assert.rejects(
          store.fetchFile('flipped', target),
          failsWith('InputMissing', /is not what was stored: its sha256 is .* instead of/),
        );
        assert.equal(await readFile(target, 'utf8'), 'old');
        // Damage on the way is not damage in the store.
        proxy.decide = times(1, isGet, { kind: 'flip', of: 'answer' });
        await store.fetchFile('flipped', target);
        assert.equal(Buffer.compare(await readFile(target), bytes), 0);
      });

    test('knows that it was the first writer when the answer that said so is lost', async () => {
      const store = open();
      const bytes = new TextEncoder().encode('mine');
      proxy.decide = times(1, isPut, { kind: 'lose-answer' });
      assert.equal(await store.putBytes('first', bytes, { ifAbsent: true }), 'stored');
      assert.ok(proxy.seen.filter(isPut).length >= 2);
      proxy.decide = times(1, isPut, s3Error(503, 'SlowDown'));
      assert.equal(
        await store.putBytes('first', new TextEncoder().encode('theirs'), { ifAbsent: true }),
        'exists',
      );
    });

    test('renews expired credentials once, then says so', async () => {
      let asked = 0;
      const credentials = async () => {
        asked += 1;
        return await Promise.resolve(server.credentials);
      };
      const store = open({ credentials });
      proxy.decide = times(1, isPut, s3Error(400, 'ExpiredToken'));
      assert.equal(await store.putBytes('renewed', new Uint8Array(1)), 'stored');
      assert.equal(asked, 2);
      proxy.decide = times(99, isPut, s3Error(400, 'ExpiredToken'));
      proxy.seen.length = 0;
      await assert.rejects(
        store.putBytes('expired', new Uint8Array(1)),
        failsWith('InvalidConfig', /the credentials have expired .*Renew them/),
      );
      assert.equal(proxy.seen.length, 2);
    });

    test('refuses a service that overwrites what it was asked not to', async () => {
      const setting = options();
      const check = async () =>
        await checkS3Store(accessS3(setting), createS3Store(setting), { nowMs: () => Date.now() });
      const sound = await check();
      assert.equal(sound.conditionalWrites, true);
      assert.ok(Math.abs(sound.clockOffsetMs) < 60_000);
      let puts = 0;
      proxy.decide = (seen) =>
        isPut(seen) && ++puts > 1 ? { kind: 'answer', status: 200, body: '', reaches: true } : undefined;
      assert.equal((await check()).conditionalWrites, false);
    });

    for (const [what, more, fault, message] of [
      [
        'a bucket that does not exist',
        { root: 's3://no-such-bucket/x' },
        undefined,
        /in bucket "no-such-bucket" at http.*: there is no such bucket\. Create it/,
      ],
      [
        'a bucket that denies',
        {},
        s3Error(403, 'AccessDenied'),
        /the credentials may not do that \(AccessDenied.*Allow s3:/,
      ],
      [
        'a key that nobody knows',
        {},
        s3Error(403, 'InvalidAccessKeyId'),
        /does not accept the credentials \(InvalidAccessKeyId.*AWS_ACCESS_KEY_ID/,
      ],
      [
        'a clock that is wrong',
        {},
        s3Error(403, 'RequestTimeTooSkewed'),
        /the clock of this machine is wrong/,
      ],
      [
        'a bucket in another region',
        {},
        s3Error(301, 'PermanentRedirect'),
        /the bucket is in another region .*AWS_REGION/,
      ],
    ] as const)
      test(`says at once in one sentence what is wrong with ${what}`, async () => {
        const store = open(more);
        if (fault !== undefined) proxy.decide = () => fault;
        await assert.rejects(store.putBytes('a', new Uint8Array(1)), failsWith('InvalidConfig', message));
        await assert.rejects(
          async () => {
            for await (const _ of store.list('a/'));
          },
          failsWith('InvalidConfig', message),
        );
        assert.equal(proxy.seen.length, 2);
      });

    test(
      'says in one sentence what is wrong with a secret, a region and an endpoint',
      { skip: isMoto && 'moto does not look' },
      async () => {
        const bytes = new Uint8Array(1);
        await assert.rejects(
          open({ credentials: { ...server.credentials, secretAccessKey: 'wrong' } }).putBytes('a', bytes),
          failsWith('InvalidConfig', /does not accept the credentials \(SignatureDoesNotMatch/),
        );
        await assert.rejects(
          open({ region: 'eu-west-3' }).putBytes('a', bytes),
          failsWith('InvalidConfig', /in another region \(.*eu-west-3.*us-east-1.*\)\. Set AWS_REGION/),
        );
        await assert.rejects(
          open({ endpoint: 'http://127.0.0.1:1' }).putBytes('a', bytes),
          failsWith(
            'StoreUnavailable',
            /at http:\/\/127\.0\.0\.1:1: it does not answer.*ECONNREFUSED.*Check the endpoint/,
          ),
        );
      },
    );

    function keyOf(store: ArtifactStore, key: string): string {
      return store.uriOf(key).split('/').slice(3).join('/');
    }
  },
);
