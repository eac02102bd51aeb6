import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { ArtifactStore, StoredObject } from '../../src/core/artifact-store.js';

const text = (value: string) => new TextEncoder().encode(value);
const hasCode = (code: string) => (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === code;

/** What every artifact store does. `create` gives an empty store; `stop` ends what it needed. */
export function describeArtifactStore(
  name: string,
  create: () => Promise<{ readonly store: ArtifactStore; stop(): Promise<void> }>,
): void {
  describe(`artifact store: ${name}`, () => {
    let store: ArtifactStore;
    let local: string;
    let stop: () => Promise<void>;
    before(async () => {
      ({ store, stop } = await create());
      local = await mkdtemp(path.join(tmpdir(), 'anneal-store-'));
    });
    after(async () => {
      await stop();
      await rm(local, { recursive: true, force: true });
    });
    const list = async (prefix: string) => {
      const found: StoredObject[] = [];
      for await (const object of store.list(prefix)) found.push(object);
      return found;
    };

    test('reads back the bytes that were put', async () => {
      assert.equal(await store.putBytes('bytes/a', text('one')), 'stored');
      assert.deepEqual(Buffer.from((await store.readBytes('bytes/a')) ?? []).toString(), 'one');
    });

    test('lets the last writer win', async () => {
      await store.putBytes('bytes/last', text('one'));
      assert.equal(await store.putBytes('bytes/last', text('two')), 'stored');
      assert.equal(Buffer.from((await store.readBytes('bytes/last')) ?? []).toString(), 'two');
    });

    test('lets the first of many writers win when asked', async () => {
      const writers = Array.from({ length: 8 }, (_, index) =>
        store.putBytes('bytes/first', text(String(index)), { ifAbsent: true }),
      );
      const results = await Promise.all(writers);
      assert.equal(results.filter((result) => result === 'stored').length, 1);
      assert.equal(
        Buffer.from((await store.readBytes('bytes/first')) ?? []).toString(),
        String(results.indexOf('stored')),
      );
    });

    test('answers undefined for what is not there, and for a folder', async () => {
      await store.putBytes('folder/a', text('1'));
      for (const key of ['absent', 'folder', 'folder/a/b']) {
        assert.equal(await store.readBytes(key), undefined);
        assert.equal(await store.stat(key), undefined);
      }
    });

    test('says the same of an object however it is asked, and where it keeps ETags another one of other contents', async () => {
      const look = async (text: string) => {
        await store.putBytes('etags/a.txt', Buffer.from(text));
        const listed = [];
        for await (const { key, etag } of store.list('etags/')) listed.push({ key, etag });
        const etag = (await store.stat('etags/a.txt'))?.etag;
        assert.deepEqual(listed, [{ key: 'etags/a.txt', etag }]);
        return etag;
      };
      const [first, second] = [await look('one'), await look('two')];
      assert.equal(await look('one'), first);
      if (store.rootUri.startsWith('s3:')) assert.ok(first !== undefined && first !== second);
    });

    test('stores a file with its size and digest', async () => {
      const file = path.join(local, 'model.bin');
      const bytes = Buffer.alloc(3_000_000, 'abc');
      await writeFile(file, bytes);
      const entry = await store.putFile('models/x/model.bin', file);
      assert.deepEqual(entry, {
        path: 'model.bin',
        sizeBytes: 3_000_000,
        sha256: createHash('sha256').update(bytes).digest('hex'),
      });
      assert.equal((await store.stat('models/x/model.bin'))?.sizeBytes, 3_000_000);
      await writeFile(file, 'changed afterwards');
      assert.equal((await store.readBytes('models/x/model.bin'))?.byteLength, 3_000_000);
    });

    test('stores neither a symlink nor a folder nor what is missing', async () => {
      await writeFile(path.join(local, 'real'), 'x');
      await symlink('real', path.join(local, 'link'));
      await mkdir(path.join(local, 'folder'));
      for (const name of ['link', 'folder', 'absent']) {
        await assert.rejects(store.putFile('refused/x', path.join(local, name)), hasCode('InvalidInput'));
      }
      assert.deepEqual(await list('refused/'), []);
    });

    test('fetches an object to a local path, replacing what is there', async () => {
      await store.putBytes('fetch/a', text('fetched'));
      const target = path.join(local, 'fetched');
      await writeFile(target, 'old');
      await store.fetchFile('fetch/a', target);
      assert.equal(await readFile(target, 'utf8'), 'fetched');
      assert.equal((await stat(target)).isFile(), true);
      await rm(target);
      assert.equal(Buffer.from((await store.readBytes('fetch/a')) ?? []).toString(), 'fetched');
    });

    test('reads an object in pieces, from any byte on', async () => {
      const bytes = new Uint8Array(1_000_000).map((_, index) => (index * 31 + (index >> 8)) % 251);
      await store.putBytes('pieces/a', bytes);
      const read = async (start?: number) => {
        const pieces: Uint8Array[] = [];
        const opened = await store.openRead('pieces/a', start === undefined ? {} : { start });
        for await (const piece of opened ?? []) pieces.push(Uint8Array.from(piece));
        return Buffer.concat(pieces);
      };
      assert.ok((await read()).equals(bytes));
      assert.ok((await read(300_001)).equals(bytes.subarray(300_001)));
      assert.equal((await read(1_000_000)).length, 0);
      assert.equal((await read(2_000_000)).length, 0);
      assert.equal(await store.openRead('pieces/absent'), undefined);
      assert.equal(await store.openRead('pieces'), undefined);
    });

    test('stops reading an object when the reader has enough', async () => {
      await store.putBytes('pieces/left', new Uint8Array(3_000_000));
      let seen = 0;
      for await (const piece of (await store.openRead('pieces/left')) ?? []) {
        seen += piece.length;
        break;
      }
      assert.ok(seen > 0 && seen < 3_000_000, `${seen} bytes`);
    });

    test('says InputMissing when a fetched object is not there', async () => {
      await assert.rejects(store.fetchFile('fetch/absent', path.join(local, 'no')), hasCode('InputMissing'));
    });

    test('lists what starts with a prefix, in key order', async () => {
      const keys = ['list/a', 'list/a.txt', 'list/a0/x', 'list/ab/c', 'list/b/1', 'list/b/10', 'list/b/2'];
      for (const key of [...keys].reverse()) await store.putBytes(key, text(key));
      assert.deepEqual(
        (await list('list/')).map(({ key }) => key),
        [...keys].sort(),
      );
      assert.deepEqual(
        (await list('list/a')).map(({ key }) => key),
        ['list/a', 'list/a.txt', 'list/a0/x', 'list/ab/c'],
      );
      assert.deepEqual(
        (await list('list/b/1')).map(({ key }) => key),
        ['list/b/1', 'list/b/10'],
      );
      assert.deepEqual(await list('list/none/'), []);
      assert.equal((await list('list/a.txt'))[0]?.sizeBytes, 10);
    });

    test('removes everything below a prefix, and nothing beside it', async () => {
      for (const key of ['gone/x/1', 'gone/x/y/2', 'gone/xy']) await store.putBytes(key, text(key));
      await store.removeAll('gone/x/');
      await store.removeAll('gone/x/');
      assert.deepEqual(
        (await list('gone/')).map(({ key }) => key),
        ['gone/xy'],
      );
      await assert.rejects(store.removeAll('gone/x'), hasCode('InvalidInput'));
    });

    test('removes objects by key, and nothing beside them', async () => {
      for (const key of ['keyed/a', 'keyed/ab', 'keyed/b/1', 'keyed/b/2'])
        await store.putBytes(key, text(key));
      for (let times = 0; times < 2; times++) await store.remove(['keyed/a', 'keyed/b/1', 'keyed/never']);
      assert.deepEqual(
        (await list('keyed/')).map(({ key }) => key),
        ['keyed/ab', 'keyed/b/2'],
      );
      await store.remove(['keyed/ab', 'keyed/b/2']);
      await store.putBytes('keyed/b/1', text('again'), { ifAbsent: true });
      assert.deepEqual(
        (await list('keyed/')).map(({ key }) => key),
        ['keyed/b/1'],
      );
      await store.remove([]);
    });

    test('turns keys into URIs and back', () => {
      for (const key of ['a/b', 'with space/ü#?%.txt']) {
        const uri = store.uriOf(key);
        assert.ok(uri.startsWith(`${store.rootUri}/`), uri);
        assert.equal(store.keyOf(uri), key);
      }
      for (const uri of ['s3://elsewhere/a', 'file:///elsewhere/a', store.rootUri])
        assert.throws(() => store.keyOf(uri), hasCode('InvalidInput'));
    });

    test('refuses keys that leave the store', async () => {
      for (const key of ['', '/a', 'a/', 'a//b', '.', '../a', 'a/../b'])
        await assert.rejects(store.putBytes(key, text('x')), hasCode('InvalidInput'));
    });
  });
}
