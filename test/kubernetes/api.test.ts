import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KubernetesApiError, isQuotaRefusal } from '../../src/adapters/kubernetes/api-error.js';
import { createKubernetesApi } from '../../src/adapters/kubernetes/api.js';
import { createApiTransport } from '../../src/adapters/kubernetes/api-transport.js';
import { aJob, SELECTOR, withKubernetes } from './kubernetes-world.js';

const refused = (status: number, reason: string) => (error: unknown) =>
  error instanceof KubernetesApiError && error.status === status && error.reason === reason;

describe('the Kubernetes API client', () => {
  test('creates, reads, lists, patches and deletes Jobs, with times as dates', async (t) => {
    const { api, server } = await withKubernetes(t);
    const created = await api.createJob(aJob('train-a1'));
    assert.ok(created.metadata?.creationTimestamp instanceof Date);
    const uid = created.metadata.uid ?? '';
    await api.setJobTtl('train-a1', uid, 600);
    assert.equal((await api.readJob('train-a1'))?.spec?.ttlSecondsAfterFinished, 600);
    assert.deepEqual(
      (await api.listJobs({ labelSelector: SELECTOR })).map((job) => job.metadata?.name),
      ['train-a1'],
    );
    await api.deleteJob('train-a1', { uid });
    assert.equal(await api.readJob('train-a1'), undefined);
    const last = server.requests.find(({ method }) => method === 'DELETE');
    assert.deepEqual(last?.body, {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      preconditions: { uid },
    });
  });

  test('a dry run leaves nothing', async (t) => {
    const { api } = await withKubernetes(t);
    await api.createJob(aJob('train-a1'), { dryRun: true });
    assert.equal(await api.readJob('train-a1'), undefined);
  });

  test('deleting spares an object of the same name and another uid', async (t) => {
    const { api } = await withKubernetes(t);
    await api.createJob(aJob('train-a1'));
    await api.deleteJob('train-a1', { uid: 'of-an-older-one' });
    await api.setJobTtl('train-a1', 'of-an-older-one', 5);
    const job = await api.readJob('train-a1');
    assert.equal(job?.spec?.ttlSecondsAfterFinished, undefined);
    assert.ok(job);
  });

  test('deletes a pod with the grace that is asked for, and one that is gone without a word', async (t) => {
    const { api, server } = await withKubernetes(t);
    await api.createJob(aJob('train-a1'));
    const pod = server.addPod('train-a1');
    await api.deletePod(pod.metadata.name, { uid: pod.metadata.uid ?? '', graceSeconds: 35 });
    assert.equal(server.state.read('pods', pod.metadata.name)?.metadata['deletionGracePeriodSeconds'], 35);
    server.state.remove('pods', pod.metadata.name);
    await api.deletePod(pod.metadata.name, { uid: 'any', graceSeconds: 35 });
  });

  test('reads a list in pages', async (t) => {
    const { api, server } = await withKubernetes(t);
    for (let i = 0; i < 1_201; i++)
      server.state.put('jobs', {
        metadata: {
          name: `j${i}`,
          labels: { 'app.kubernetes.io/managed-by': 'anneal', 'anneal.dev/project': 'churn' },
        },
      });
    assert.equal((await api.listJobs({ labelSelector: SELECTOR })).length, 1_201);
    assert.equal(server.requests.length, 3);
  });

  test('a log that is not there yet is no error', async (t) => {
    const { api, server } = await withKubernetes(t);
    await api.createJob(aJob('train-a1'));
    const { name } = server.addPod('train-a1').metadata;
    const options = { tailLines: 2, limitBytes: 1_000 };
    assert.equal(await api.readPodLog(name, 'main', options), undefined);
    server.logs.set(name, 'one\ntwo\nthree');
    assert.equal(await api.readPodLog(name, 'main', options), 'two\nthree');
    assert.equal(await api.readPodLog('no-such-pod', 'main', options), undefined);
  });

  test('asks whether it may', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.allow(
      ({ verb, resource, subresource }) => verb === 'get' && resource === 'pods' && subresource === 'log',
    );
    assert.equal(await api.reviewAccess('get', 'pods', 'log'), true);
    assert.equal(await api.reviewAccess('create', 'jobs'), false);
    const { body } = server.requests.at(-1) ?? {};
    assert.deepEqual((body as { spec: object }).spec, {
      resourceAttributes: { namespace: 'team-a', verb: 'create', resource: 'jobs', group: 'batch' },
    });
  });
});

describe('failures of the Kubernetes API', () => {
  test('a busy server is asked again, not before its Retry-After', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.fail({ method: 'POST', answer: { status: 429, retryAfter: 1 } });
    await api.createJob(aJob('train-a1'));
    const [first, second] = server.requests;
    assert.ok((second?.atMs ?? 0) - (first?.atMs ?? 0) >= 990, 'not sooner than asked');
  });

  test('a Retry-After beyond the patience of a request ends it at once', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.fail({ answer: { status: 429, retryAfter: 600 } });
    await assert.rejects(api.createJob(aJob('a')), (error) => {
      assert.ok(error instanceof KubernetesApiError);
      assert.deepEqual([error.status, error.retryAfterMs, error.transient], [429, 600_000, true]);
      return true;
    });
    assert.equal(server.requests.length, 1);
  });

  test('a server that fails, cuts or is away for a moment is asked again, with pauses that grow and differ', async (t) => {
    const { api, server } = await withKubernetes(t, { random: () => 1 });
    server.fail({ times: 2, answer: { status: 500 } });
    server.fail({ times: 2, answer: 'cut' });
    await api.createJob(aJob('train-a1'));
    const at = server.requests.map(({ atMs }) => atMs);
    const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    assert.equal(pauses.length, 4);
    for (const [index, pause] of pauses.entries()) assert.ok(pause >= 5 * 2 ** index - 1, `${pause}`);
  });

  test('repeating is bounded', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.fail({ times: 100, answer: { status: 503, message: 'overloaded' } });
    await assert.rejects(api.createJob(aJob('a')), refused(503, 'ServiceUnavailable'));
    assert.equal(server.requests.length, 6);
  });

  test('a create whose answer was lost is answered with AlreadyExists, and made once', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.fail({ method: 'POST', answer: 'lost' });
    await assert.rejects(api.createJob(aJob('train-a1')), refused(409, 'AlreadyExists'));
    assert.equal(server.state.list('jobs', () => true).length, 1);
  });

  test('a server that does not answer is given up after its time', async (t) => {
    const { api, server } = await withKubernetes(t, {
      timeouts: { answerMs: 200 },
      retry: { tries: 2, firstMs: 1 },
    });
    server.fail({ times: 9, answer: 'hang' });
    await assert.rejects(api.readJob('a'), refused(0, 'UND_ERR_HEADERS_TIMEOUT'));
    assert.equal(server.requests.length, 2);
  });

  test('what a later try does not change is not tried again', async (t) => {
    const { api, server } = await withKubernetes(t);
    server.fail({
      answer: { status: 403, message: 'pods "x" is forbidden: exceeded quota: gpus, requested: 8, used: 8' },
    });
    await assert.rejects(api.createJob(aJob('a')), (error) => {
      assert.ok(error instanceof KubernetesApiError);
      assert.equal(isQuotaRefusal(error), true);
      assert.equal(error.transient, false);
      return true;
    });
    assert.equal(server.requests.length, 1);
  });

  test('a refused token is renewed once', async (t) => {
    const { server } = await withKubernetes(t);
    server.conduct.token = 'new';
    let token = 'old';
    const transport = createApiTransport({
      connection: {
        server: server.url,
        credentials: async () =>
          await Promise.resolve({ headers: { authorization: `Bearer ${token}` }, tls: {} }),
        renew: () => void (token = 'new'),
      },
    });
    t.after(async () => await transport.close());
    const api = createKubernetesApi(transport, 'team-a');
    assert.equal(await api.readJob('a'), undefined);
    assert.equal(server.requests.length, 2);
    server.conduct.token = 'newer';
    await assert.rejects(api.readJob('a'), refused(401, 'Unauthorized'));
    assert.equal(server.requests.length, 4);
  });

  test('errors hold neither tokens nor passwords', async (t) => {
    const { api, server } = await withKubernetes(t);
    const message =
      'proxy http://ann:hunter2@proxy.example refused Bearer abc.def and eyJhbGciOi.eyJzdWIi.c2ln';
    server.fail({ answer: { status: 400, message } });
    await assert.rejects(api.readJob('a'), (error) => {
      assert.doesNotMatch(String(error), /hunter2|abc\.def|eyJ/);
      assert.match(String(error), /proxy\.example refused Bearer \*\*\*/);
      return true;
    });
  });

  test('a name that does not resolve and a port that nobody listens on say so', async (t) => {
    const { server } = await withKubernetes(t);
    await server.goAway();
    const transport = createApiTransport({ connection: server.connection, retry: { tries: 2, firstMs: 1 } });
    t.after(async () => await transport.close());
    await assert.rejects(createKubernetesApi(transport, 'x').readJob('a'), (error) => {
      assert.ok(error instanceof KubernetesApiError);
      assert.deepEqual([error.status, error.reason, error.transient], [0, 'ECONNREFUSED', true]);
      assert.match(error.message, /^GET \/apis\/batch\/v1\/namespaces\/x\/jobs\/a: connect ECONNREFUSED/);
      return true;
    });
    await server.comeBack();
  });
});

test('requests in a row share their connections, and many at once a bounded number', async (t) => {
  const { api, server } = await withKubernetes(t);
  for (let i = 0; i < 50; i++) await api.readJob(`j${i}`);
  assert.ok(server.connections <= 3, `${server.connections} connections`);
  await Promise.all(Array.from({ length: 500 }, async (_, i) => await api.createJob(aJob(`j${i}`))));
  assert.ok(server.connections <= 64, `${server.connections} connections`);
  assert.equal(server.state.list('jobs', () => true).length, 500);
});
