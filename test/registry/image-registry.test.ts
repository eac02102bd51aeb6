import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { createImageRegistry } from '../../src/adapters/image-registry/create-image-registry.js';
import { startTestRegistry, type TestRegistry } from './test-registry.js';

const DIGEST = `sha256:${'a1'.repeat(32)}`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('the digest of an image', () => {
  let registry: TestRegistry;
  let folder: string;
  before(async () => {
    registry = await startTestRegistry();
    folder = await mkdtemp(path.join(tmpdir(), 'anneal-registry-'));
    registry.tags.set('team/train:1', DIGEST);
  });
  afterEach(async () => {
    delete registry.guard;
    delete registry.meddle;
    registry.asked.length = 0;
    for (const name of ['config.json', '.dockerconfigjson'])
      await rm(path.join(folder, name), { force: true });
  });
  after(async () => {
    await registry.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const resolve = async (image = `${registry.host}/team/train:1`, timeoutMs = 5_000) =>
    await createImageRegistry({ env: { DOCKER_CONFIG: folder }, timeoutMs }).resolve(image);
  const problem = async (image?: string, timeoutMs?: number) => {
    const found = await resolve(image, timeoutMs);
    assert.ok('problem' in found, JSON.stringify(found));
    assert.doesNotMatch(found.problem, /\n|undefined|hunter2/);
    return found.problem;
  };
  const configure = async (config: object, name = 'config.json') =>
    await writeFile(path.join(folder, name), JSON.stringify(config));

  test('is asked for by the tag, with one request for what has no body', async () => {
    assert.deepEqual(await resolve(), { digest: DIGEST });
    assert.deepEqual(registry.asked, ['HEAD /v2/team/train/manifests/1']);
  });

  test('is that of the tag latest where none is named, and the one in the name where there is one', async () => {
    registry.tags.set('train:latest', DIGEST);
    assert.deepEqual(await resolve(`${registry.host}/train`), { digest: DIGEST });
    registry.asked.length = 0;
    const other = `sha256:${'b'.repeat(64)}`;
    assert.deepEqual(await resolve(`${registry.host}/train:1@${other}`), { digest: other });
    assert.deepEqual(registry.asked, []);
  });

  test('is another when the tag was moved', async () => {
    const images = createImageRegistry({ env: {} });
    const image = `${registry.host}/moved:1`;
    for (const digest of [DIGEST, `sha256:${'c'.repeat(64)}`]) {
      registry.tags.set('moved:1', digest);
      assert.deepEqual(await images.resolve(image), { digest });
    }
  });

  test('is asked for once by many at the same time', async () => {
    const images = createImageRegistry({ env: { DOCKER_CONFIG: folder } });
    const found = await Promise.all(
      Array.from({ length: 20 }, async () => await images.resolve(`${registry.host}/team/train:1`)),
    );
    assert.ok(found.every((each) => 'digest' in each && each.digest === DIGEST));
    assert.equal(registry.asked.length, 1);
  });

  test('comes with a token that everybody gets', async () => {
    registry.guard = { scheme: 'Bearer' };
    assert.deepEqual(await resolve(), { digest: DIGEST });
    assert.deepEqual(registry.asked, [
      'HEAD /v2/team/train/manifests/1',
      'GET /token?service=registry.test&scope=repository%3Ateam%2Ftrain%3Apull',
      'HEAD /v2/team/train/manifests/1',
    ]);
  });

  for (const [what, scheme, login, entry] of [
    ['a password for a token', 'Bearer', 'ann:hunter2', { auth: base64('ann:hunter2') }],
    ['a password with a colon', 'Bearer', 'ann:hunter2:x', { auth: base64('ann:hunter2:x') }],
    ['a name and a password', 'Bearer', 'ann:hunter2', { username: 'ann', password: 'hunter2' }],
    [
      'a token that is renewed',
      'Bearer',
      'refresh:hunter2',
      { auth: base64('<token>:'), identitytoken: 'hunter2' },
    ],
    ['a password for the registry itself', 'Basic', 'ann:hunter2', { auth: base64('ann:hunter2') }],
    ['a token for the registry itself', 'Bearer', 'nobody', { registrytoken: 'the-token' }],
  ] as const)
    test(`comes with ${what} from the file`, async () => {
      registry.guard = { scheme, login };
      await configure({ auths: { [registry.host]: entry } });
      assert.deepEqual(await resolve(), { digest: DIGEST });
    });

  test('comes with what a mounted secret has, and with the entry that fits the name best', async () => {
    registry.guard = { scheme: 'Bearer', login: 'team:hunter2' };
    const auths = {
      [`http://${registry.host}/v2/`]: { auth: base64('all:wrong') },
      [`${registry.host}/team`]: { auth: base64('team:hunter2') },
      [`${registry.host}/tea`]: { auth: base64('tea:wrong') },
    };
    await configure({ auths }, '.dockerconfigjson');
    assert.deepEqual(await resolve(), { digest: DIGEST });
  });

  test('is not known to those who are not let in, and nothing of a credential is told', async () => {
    registry.guard = { scheme: 'Bearer', login: 'ann:right' };
    await configure({ auths: { [registry.host]: { auth: base64('ann:hunter2') } } });
    assert.match(
      await problem(),
      /does not let this worker read "team\/train" \(HTTP 401\); give credentials/,
    );
    await configure({ auths: { [registry.host]: {} }, credsStore: 'desktop' });
    assert.match(await problem(), /helper "desktop" of Docker's configuration is not asked/);
    await writeFile(path.join(folder, 'config.json'), '{"auths"');
    assert.match(await problem(), /config\.json is not JSON/);
  });

  test('is not paid for with credentials that would go to somebody else without TLS', async () => {
    registry.guard = { scheme: 'Bearer', login: 'ann:hunter2', realm: 'ftp://elsewhere/token' };
    await configure({ auths: { [registry.host]: { auth: base64('ann:hunter2') } } });
    assert.match(await problem(), /HTTP 401/);
    assert.equal(registry.asked.length, 1);
  });

  test('is made from the manifest where the registry does not say it', async () => {
    const manifest = '{"schemaVersion":2}';
    registry.meddle = (asked, answer) => {
      answer.writeHead(asked.method === 'HEAD' ? 405 : 200, { 'content-type': 'application/json' });
      answer.end(asked.method === 'HEAD' ? undefined : manifest);
      return true;
    };
    const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    assert.deepEqual(await resolve(), { digest });
  });

  test('is no page for people', async () => {
    registry.meddle = (_, answer) => {
      answer.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome');
      return true;
    };
    assert.match(await problem(), /something that is no manifest/);
  });

  for (const [what, meddle] of [
    ['a connection that ends', (_, answer) => answer.destroy()],
    ['HTTP 503', (_, answer) => answer.writeHead(503).end()],
  ] as [string, (asked: unknown, answer: ServerResponse) => unknown][])
    test(`is asked for again after ${what}, once`, async () => {
      let left = 1;
      registry.meddle = (asked, answer) => {
        if (left-- <= 0) return false;
        meddle(asked, answer);
        return true;
      };
      assert.deepEqual(await resolve(), { digest: DIGEST });
      left = 9;
      assert.match(await problem(), /could not be asked: .*|answered with HTTP 503/);
      assert.equal(registry.asked.length, 4);
    });

  test('is not waited for longer than it is worth', async () => {
    registry.meddle = () => true;
    assert.match(await problem(undefined, 200), /did not answer within 0\.2 s/);
  });

  test('is not known of what is not there, or no name', async () => {
    assert.match(await problem(`${registry.host}/team/train:2`), /has no tag "2" of "team\/train"/);
    assert.match(await problem('Not an image'), /not the name of an image/);
    registry.meddle = (_, answer) => {
      answer.writeHead(429).end();
      return true;
    };
    assert.match(await problem(), /asks to slow down/);
    assert.match(
      await problem('127.0.0.1:1/a:b'),
      /127\.0\.0\.1:1 could not be asked: .*(ECONNREFUSED|bad port)/,
    );
  });
});
