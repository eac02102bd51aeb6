import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { loadKubeConnection } from '../../src/adapters/kubernetes/kube-config.js';

const KUBECONFIG = {
  apiVersion: 'v1',
  kind: 'Config',
  'current-context': 'staging',
  clusters: [
    {
      name: 'one',
      cluster: { server: 'https://one.example:6443/', 'certificate-authority-data': toBase64('CA ONE') },
    },
    { name: 'plain', cluster: { server: 'http://127.0.0.1:8001' } },
    {
      name: 'behind',
      cluster: {
        server: 'https://two.example',
        'proxy-url': 'http://proxy.example:3128',
        'tls-server-name': 'inner',
      },
    },
  ],
  users: [
    { name: 'ann', user: { token: 'secret-of-ann' } },
    { name: 'bob', user: { username: 'bob', password: 'pw' } },
    {
      name: 'cert',
      user: { 'client-certificate-data': toBase64('CERT'), 'client-key-data': toBase64('KEY') },
    },
    { name: 'lost', user: { 'client-certificate': 'no-such-file.pem' } },
  ],
  contexts: [
    { name: 'staging', context: { cluster: 'one', user: 'ann', namespace: 'team-a' } },
    { name: 'prod', context: { cluster: 'one', user: 'cert' } },
    { name: 'plain', context: { cluster: 'plain', user: 'bob' } },
    { name: 'nobody', context: { cluster: 'one' } },
    { name: 'behind', context: { cluster: 'behind', user: 'ann' } },
    { name: 'lost', context: { cluster: 'one', user: 'lost' } },
    { name: 'empty', context: { cluster: 'gone', user: 'ann' } },
  ],
};

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64');
}

async function withHome(t: TestContext, config: object | string = KUBECONFIG) {
  const home = await mkdtemp(path.join(tmpdir(), 'anneal-kube-'));
  t.after(async () => await rm(home, { recursive: true, force: true }));
  const file = path.join(home, 'config');
  // JSON is YAML.
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  return { home, file, env: { HOME: home, KUBECONFIG: file } };
}

describe('finding the cluster', () => {
  test('takes the current context, its namespace, its CA and its token', async (t) => {
    const { env } = await withHome(t);
    const connection = await loadKubeConnection({ env });
    assert.equal(connection.server, 'https://one.example:6443');
    assert.deepEqual([connection.context, connection.namespace], ['staging', 'team-a']);
    const { headers, tls } = await connection.credentials();
    assert.deepEqual(headers, { authorization: 'Bearer secret-of-ann' });
    assert.equal(String(tls.ca), 'CA ONE');
  });

  test('takes the context and the namespace that anneal.yaml names', async (t) => {
    const { env } = await withHome(t);
    const prod = await loadKubeConnection({ env, context: 'prod' });
    assert.equal(prod.namespace, 'default');
    const { headers, tls } = await prod.credentials();
    assert.deepEqual([headers, String(tls.cert), String(tls.key)], [{}, 'CERT', 'KEY']);
    assert.equal((await loadKubeConnection({ env, namespace: 'other' })).namespace, 'other');
  });

  test('speaks plain HTTP, names and passwords, proxies, other server names and nobody at all', async (t) => {
    const { env } = await withHome(t);
    const plain = await loadKubeConnection({ env, context: 'plain' });
    assert.deepEqual((await plain.credentials()).headers, { authorization: `Basic ${toBase64('bob:pw')}` });
    const behind = await loadKubeConnection({ env, context: 'behind' });
    assert.equal(behind.proxyUrl, 'http://proxy.example:3128');
    assert.equal((await behind.credentials()).tls.servername, 'inner');
    const nobody = await loadKubeConnection({ env, context: 'nobody' });
    assert.equal(String((await nobody.credentials()).tls.ca), 'CA ONE');
  });

  test('reads ~/.kube/config, and several files of KUBECONFIG as one, without those that are missing', async (t) => {
    const { home, file } = await withHome(t);
    await mkdir(path.join(home, '.kube'));
    await writeFile(path.join(home, '.kube', 'config'), await readFile(file));
    assert.equal((await loadKubeConnection({ env: { HOME: home } })).context, 'staging');
    const second = path.join(home, 'second');
    await writeFile(
      second,
      JSON.stringify({
        clusters: [],
        users: [],
        contexts: [{ name: 'extra', context: { cluster: 'one', user: 'ann' } }],
        'current-context': 'extra',
      }),
    );
    const env = { HOME: home, KUBECONFIG: [file, path.join(home, 'missing'), second].join(path.delimiter) };
    assert.equal(
      (await loadKubeConnection({ env })).context,
      'staging',
      'the first file that says it decides',
    );
    assert.equal((await loadKubeConnection({ env, context: 'extra' })).server, 'https://one.example:6443');
  });

  test('a pod uses its service account, and reads its token again', async (t) => {
    const { home } = await withHome(t);
    const dir = path.join(home, 'serviceaccount');
    await mkdir(dir);
    await writeFile(path.join(dir, 'token'), 'first\n');
    await writeFile(path.join(dir, 'ca.crt'), 'CA OF THE CLUSTER');
    await writeFile(path.join(dir, 'namespace'), 'team-b');
    const env = { HOME: home, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    const connection = await loadKubeConnection({ env, context: 'prod', serviceAccountDir: dir });
    assert.deepEqual([connection.server, connection.namespace], ['https://[fd00::1]:6443', 'team-b']);
    assert.equal((await connection.credentials()).headers['authorization'], 'Bearer first');
    await writeFile(path.join(dir, 'token'), 'second');
    assert.equal((await connection.credentials()).headers['authorization'], 'Bearer first');
    connection.renew();
    assert.equal((await connection.credentials()).headers['authorization'], 'Bearer second');
  });

  test('a plugin that gives no end date is asked once, not for every request', async (t) => {
    const { home } = await withHome(t);
    const plugin = path.join(home, 'plugin.sh');
    const calls = path.join(home, 'calls');
    const credential = {
      kind: 'ExecCredential',
      apiVersion: 'client.authentication.k8s.io/v1',
      status: { token: 'made' },
    };
    await writeFile(plugin, `#!/bin/sh\necho called >> ${calls}\necho '${JSON.stringify(credential)}'\n`);
    await chmod(plugin, 0o755);
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: plugin };
    const { env } = await withHome(t, {
      ...KUBECONFIG,
      users: [{ name: 'ann', user: { exec } }],
    });
    const connection = await loadKubeConnection({ env });
    const all = await Promise.all(Array.from({ length: 20 }, async () => await connection.credentials()));
    assert.equal(all[7]?.headers['authorization'], 'Bearer made');
    assert.equal(await readFile(calls, 'utf8'), 'called\n');
    connection.renew();
    await connection.credentials();
    assert.equal(await readFile(calls, 'utf8'), 'called\ncalled\n');
  });
});

describe('a cluster that cannot be found is said in one sentence', () => {
  const refusal = async (options: Parameters<typeof loadKubeConnection>[0]) => {
    try {
      await (await loadKubeConnection(options)).credentials();
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'InvalidConfig');
      const { message } = error as Error;
      assert.doesNotMatch(message, /\n|undefined|secret-of-ann/);
      return message;
    }
    throw new Error('it was found');
  };

  test('no kubeconfig', async (t) => {
    const { home } = await withHome(t);
    assert.match(
      await refusal({ env: { HOME: home } }),
      /^There is no kubeconfig, so no cluster is known\. Set KUBECONFIG/,
    );
    const env = { HOME: home, KUBECONFIG: path.join(home, 'gone') };
    assert.match(
      await refusal({ env }),
      /^KUBECONFIG names .*gone, which cannot be read\. Correct the variable/,
    );
  });

  test('no such context', async (t) => {
    const { env } = await withHome(t);
    assert.match(
      await refusal({ env, context: 'stagin' }),
      /^There is no context "stagin" in the kubeconfig .*config; it has "staging", "prod".* Did you mean "staging"\? Correct kubernetes\.context in anneal\.yaml\.$/,
    );
  });

  test('no current context, and none at all', async (t) => {
    const one = await withHome(t, { ...KUBECONFIG, 'current-context': '' });
    assert.match(await refusal({ env: one.env }), /has no current context .*set kubernetes\.context/);
    const two = await withHome(t, { apiVersion: 'v1', kind: 'Config' });
    assert.match(await refusal({ env: two.env }), /has no current context \(it has none\)/);
  });

  test('a context whose cluster is missing, a file that is no YAML, an empty one', async (t) => {
    const { env } = await withHome(t);
    assert.match(
      await refusal({ env, context: 'empty' }),
      /^Context "empty" of the kubeconfig names no cluster/,
    );
    for (const text of ['{ not yaml', '', '- a\n- b\n', 'just text']) {
      const broken = await withHome(t, text);
      assert.match(
        await refusal({ env: broken.env }),
        /kubeconfig .*config (cannot be used|has no current context)/,
        text,
      );
    }
  });

  test('a client certificate that is not there', async (t) => {
    const { env } = await withHome(t);
    assert.match(
      await refusal({ env, context: 'lost' }),
      /^The credentials of context "lost" cannot be had: ENOENT.*no-such-file\.pem'\. Sign in again/,
    );
  });

  test('a plugin that is missing or fails', async (t) => {
    const user = (command: string, args: string[] = []) => ({
      ...KUBECONFIG,
      users: [
        { name: 'ann', user: { exec: { apiVersion: 'client.authentication.k8s.io/v1', command, args } } },
      ],
    });
    const missing = await withHome(t, user('no-such-plugin'));
    assert.match(await refusal({ env: missing.env }), /cannot be had from "no-such-plugin": .*ENOENT/);
    const failing = await withHome(t, user('sh', ['-c', 'echo "your session has expired" >&2; exit 1']));
    assert.match(
      await refusal({ env: failing.env }),
      /cannot be had from "sh": your session has expired\. Sign in again/,
    );
  });
});
